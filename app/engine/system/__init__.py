"""Owns what the engine asks of the operating system."""
