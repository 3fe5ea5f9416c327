"""Owns the answers that clients go on from: a bounded SQLite file of the HTTP process."""
