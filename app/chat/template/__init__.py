"""Owns chat templates: the sandbox they run in and what they are given."""
