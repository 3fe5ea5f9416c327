"""Owns the answering half of the API of Ollama: chat, generate, tokens; NDJSON streams."""
