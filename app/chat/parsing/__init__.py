"""Owns parsing an answer as it arrives."""
