"""Owns where streamed answers go: to a client, or to a tape that clients come back for."""
