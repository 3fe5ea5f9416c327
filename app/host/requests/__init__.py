"""Owns requests that outlive the engine that works on them."""
