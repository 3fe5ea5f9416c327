"""Owns the way from logits to the events of an answer."""
