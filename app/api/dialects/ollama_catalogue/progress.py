"""Owns answers that report progress: lines of JSON, or the last of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sanic import HTTPResponse

from app.web.json_body import json_response

CONTENT_TYPE = "application/x-ndjson"


def progress(statuses: Sequence[str], *, is_streamed: bool) -> HTTPResponse:
    """Return the answer to work that has succeeded."""
    if not is_streamed:
        return json_response({"status": statuses[-1]})
    return lines([{"status": status} for status in statuses])


def lines(objects: Sequence[Mapping[str, Any]]) -> HTTPResponse:
    """Return a stream that is known already."""
    body = b"".join(msgspec.json.encode(each) + b"\n" for each in objects)
    return HTTPResponse(body, content_type=CONTENT_TYPE)
