"""Owns what the service and systemd say to each other."""
