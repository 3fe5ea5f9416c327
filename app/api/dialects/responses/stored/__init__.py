"""Owns what outlives a request of the Responses dialect: stored and background responses."""
