"""Owns how thoughts travel in a reasoning item's `encrypted_content`; no I/O.

It is not a secret: a client may read it, and may put in what it likes, as it may put words into any
message of the assistant. It only ever becomes the reasoning of the answer that follows.
"""

from __future__ import annotations

import base64
import binascii

_MARK = b"distiller-thoughts-1:"


def sealed(text: str) -> str:
    """Return thoughts as `encrypted_content`."""
    return base64.b64encode(_MARK + text.encode(errors="replace")).decode()


def unsealed(sealed_text: str) -> str | None:
    """Return the thoughts in `encrypted_content`; None where another service wrote it."""
    try:
        data = base64.b64decode(sealed_text, validate=True)
        return data.removeprefix(_MARK).decode() if data.startswith(_MARK) else None
    except (binascii.Error, ValueError):
        return None
