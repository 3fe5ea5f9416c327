"""Owns writing grammars."""
