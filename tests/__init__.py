"""Tests; they mirror `app/`, and `live/` drives a running server."""
