"""Owns what a stored response consists of: the response object and its input items; pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from app.answer_store.records import StoredAnswer
from app.base.json_types import JsonObject, as_json

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
_MAX_ID_CHARS = 128
_LOST = "The service ended before the response was complete"


def with_ids(items: Sequence[JsonObject]) -> list[JsonObject]:
    """Return input items that all have an id and a type."""
    found = []
    for item in items:
        kind = item.get("type") or "message"
        given = item.get("id")
        is_usable = isinstance(given, str) and 0 < len(given) <= _MAX_ID_CHARS
        item_id = given if is_usable else f"{_PREFIXES.get(kind, 'item')}_{secrets.token_hex(12)}"
        found.append({**item, "id": item_id, "type": kind})
    return found


def to_stored(
    response: JsonObject, items: Sequence[JsonObject], events: bytes = b""
) -> StoredAnswer:
    """Return what is stored of a response.

    Args:
        response: the response object.
        items: those of its input, with ids.
        events: the stream, if it was streamed.
    """
    parts = [*items, *response["output"]]
    return StoredAnswer(
        id=response["id"],
        previous=response.get("previous_response_id"),
        model=str(response.get("model") or ""),
        answer=as_json(response),
        request=as_json(items),
        events=events,
        item_ids=[str(part["id"]) for part in parts if part.get("id")],
        is_running=response["status"] == "in_progress",
    )


def response_of(stored: StoredAnswer) -> JsonObject:
    """Return the response object of a stored response."""
    found: JsonObject = msgspec.json.decode(stored.answer)
    return found


def items_of(stored: StoredAnswer) -> list[JsonObject]:
    """Return the items of the input of a stored response."""
    found: list[JsonObject] = msgspec.json.decode(stored.request)
    return found


def settled(stored: StoredAnswer) -> StoredAnswer:
    """Return a stored response that does not run any more; one that was never completed failed."""
    if not stored.is_running:
        return stored
    error = {"code": "server_error", "message": _LOST}
    failed = {**response_of(stored), "status": "failed", "error": error}
    return to_stored(failed, items_of(stored))
