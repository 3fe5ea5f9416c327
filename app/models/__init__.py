"""Owns the model files: the folder, what goes in and out of it, and what a file says of itself."""
