"""Owns the way from a conversation to prompt tokens."""
