"""Owns the KV cache and its tiers in memory and on disk."""
