"""Owns the signatures of reasoning: they tell this service's own when it comes back; no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac

_VERSION = b"\x01"


class Signer:
    """Signs reasoning.

    Args:
        key: known to nobody else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, thoughts: str) -> str:
        """Return the signature of some reasoning."""
        code = hmac.digest(self._key, thoughts.encode(errors="replace"), hashlib.sha256)
        return base64.b64encode(_VERSION + code).decode()

    def verifies(self, thoughts: str, signature: str) -> bool:
        """Return whether a signature is this service's for some reasoning."""
        given = signature.encode(errors="replace")
        return hmac.compare_digest(given, self.sign(thoughts).encode())
