"""Owns OpenAI's chat dialect."""
