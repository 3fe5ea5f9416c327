"""Distiller LLM: an OpenAI-compatible language-model server for small always-on devices."""

__version__ = "0.1.0"
