"""Owns the benchmark behind `scripts/bench`; it sees the server only from outside."""
