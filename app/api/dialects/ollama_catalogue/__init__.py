"""Owns Ollama's endpoints for models: list, describe, copy, delete, create, upload."""
