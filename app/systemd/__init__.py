"""Owns the protocols between the service and systemd."""
