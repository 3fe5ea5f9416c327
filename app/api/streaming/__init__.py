"""Owns where streamed answers go: to a client, or to a buffer that clients come back for."""
