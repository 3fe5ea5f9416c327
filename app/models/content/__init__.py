"""Owns model files as content: their SHA-256 digests, and uploads that are named by one."""
