"""Owns the HTTP transport: sockets, connections, access control, framing; knows no model."""
