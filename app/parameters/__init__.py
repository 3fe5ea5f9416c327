"""Owns every value that a setting or a request may give to the engine or the host: one row each.

A row is the field of a struct: its name, type, bounds, default and description, its aliases, who
may give it and when a change of it takes effect. Settings, request schemas, the settings file and
the tables of the documentation are derived from the rows; the engine's decoder enforces the bounds.
"""
