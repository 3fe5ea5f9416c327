"""Owns the model files: the models folder, adding and removing models, GGUF headers."""
