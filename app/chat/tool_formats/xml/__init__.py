"""Owns the formats that write calls in XML."""
