"""Owns the endpoints that generate nothing, one blueprint a module."""
