"""The HTTP surface: one blueprint per group of endpoints."""
