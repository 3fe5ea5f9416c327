"""Owns the dialects in which clients ask for answers, one folder each."""
