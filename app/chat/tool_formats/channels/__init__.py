"""Owns the formats whose answers are messages with a recipient or channel."""
