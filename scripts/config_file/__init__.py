"""Writes the settings file of the package from the settings themselves."""
