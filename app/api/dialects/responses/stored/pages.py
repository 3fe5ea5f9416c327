"""Owns listing the input items of a response, page by page; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.base.json_types import JsonObject
from app.errors import InvalidRequest

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100


def page_of(items: Sequence[JsonObject], query: Mapping[str, Any]) -> JsonObject:
    """Return a page of items in OpenAI's form.

    Args:
        items: the oldest first.
        query: `limit`, `order`, `after`, `before`, as texts.

    Raises:
        InvalidRequest: one of them is invalid.
    """
    order = query.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest("order: must be asc or desc", param="order")
    limit = _limit(query.get("limit"))
    found = list(items) if order == "asc" else list(reversed(items))
    if after := query.get("after"):
        found = found[_place(found, after, "after") + 1 :]
    if before := query.get("before"):
        found = found[: _place(found, before, "before")]
    page = [as_listed(item) for item in found[:limit]]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(found) > limit,
    }


def as_listed(item: JsonObject) -> JsonObject:
    """Return an input item as it is listed: a message's text is a part of it."""
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, str):
        return item
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    part: JsonObject = {"type": kind, "text": content}
    if kind == "output_text":
        part["annotations"] = []
    return {"status": "completed", **item, "content": [part]}


def _limit(text: Any) -> int:
    if text is None or text == "":
        return _DEFAULT_LIMIT
    digits = str(text)
    if digits.isascii() and digits.isdigit() and 1 <= int(digits[:9]) <= _MAX_LIMIT:
        return int(digits)
    raise InvalidRequest(f"limit: must be from 1 to {_MAX_LIMIT}", param="limit")


def _place(items: Sequence[JsonObject], item_id: Any, param: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == item_id:
            return place
    raise InvalidRequest(f"{param}: there is no item '{item_id}'", param=param)
