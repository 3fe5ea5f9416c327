"""Owns the chat core that dialects map to: the engine commands of a conversation."""
