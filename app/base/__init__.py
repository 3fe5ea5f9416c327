"""Owns what every layer may use and nothing else belongs to: small, pure, without state."""
