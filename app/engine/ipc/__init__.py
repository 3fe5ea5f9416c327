"""Owns the engine's end of the socket to the HTTP process."""
