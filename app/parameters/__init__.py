"""Owns the parameters that settings and requests may set: one row each.

A row is the field of a struct: its name, type, bounds, default, description and aliases, the layers
that may set it and when a change takes effect. Settings, request schemas, the settings file and
the tables of the documentation are derived from the rows; the engine's decoder enforces the bounds.
"""
