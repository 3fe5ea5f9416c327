"""Owns the settings: what they are, where they come from, what a change of one means."""
