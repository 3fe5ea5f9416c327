"""Distiller Nano: makes the data, trains the tiny model, exports and evaluates it."""
