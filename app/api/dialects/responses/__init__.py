"""Owns OpenAI's Responses dialect."""
