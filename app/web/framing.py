"""Owns the framing of server-sent events; must not know what the data means."""

from __future__ import annotations

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CONTENT_TYPE = "text/event-stream; charset=utf-8"


def frame(data: bytes) -> bytes:
    """Return one event whose data is a single line of JSON."""
    return b"data: " + data + b"\n\n"
