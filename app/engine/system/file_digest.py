"""Owns the short name of a model file's content; must not know llama.cpp."""

from __future__ import annotations

import hashlib
from pathlib import Path

_DIGEST_SPAN_BYTES = 1024 * 1024


def file_digest(path: Path) -> str:
    """Return 12 hex digits that name a model file by its content.

    SHA-256 over the size, the first and the last MiB: hashing gigabytes on every start would
    cost a small device many seconds.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_DIGEST_SPAN_BYTES))
        file.seek(max(0, size - _DIGEST_SPAN_BYTES))
        digest.update(file.read(_DIGEST_SPAN_BYTES))
    return digest.hexdigest()[:12]
