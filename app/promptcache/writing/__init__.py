"""Owns writing entries: which files, room for them, the day's budget, disk failures."""
