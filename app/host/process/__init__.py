"""Owns one engine process from the HTTP process's side: start, pipe, exit."""
