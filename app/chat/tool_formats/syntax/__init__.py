"""Owns what several tool formats share; knows no format."""
