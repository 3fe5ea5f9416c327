"""Owns the engine's end of the socket and what each command means."""
