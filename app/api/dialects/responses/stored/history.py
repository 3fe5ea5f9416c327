"""Owns what a request refers to: the responses before it, and single items of them."""

from __future__ import annotations

from dataclasses import replace

from app.answer_store.store import AnswerStore
from app.api.dialects.responses.conversation import kind_of
from app.api.dialects.responses.reader import Reading
from app.api.dialects.responses.stored.records import items_of, response_of
from app.base.json_types import JsonObject
from app.errors import InvalidRequest

_NOT_FOUND = "previous_response_not_found"


async def resolved(
    reading: Reading, store: AnswerStore, owner: str
) -> tuple[Reading, list[JsonObject]]:
    """Return a request with the items that it refers to, and the items of the responses before it.

    Raises:
        InvalidRequest: it refers to something that is not stored, or not any more.
    """
    reading = await _with_items(reading, store, owner)
    previous = reading.body.previous_response_id
    history = await history_of(previous, store, owner) if previous else []
    return reading, history


async def history_of(previous: str, store: AnswerStore, owner: str) -> list[JsonObject]:
    """Return the items of a response and of those before it, inputs and outputs, oldest first.

    Raises:
        InvalidRequest: one of them is not stored, or not complete.
    """
    chain, gone = await store.chain(owner, previous)
    if gone is not None:
        raise InvalidRequest(_reason(previous, gone), param="previous_response_id", code=_NOT_FOUND)
    items: list[JsonObject] = []
    for stored in chain:
        if stored.is_running:
            raise InvalidRequest(
                f"previous_response_id: the response '{stored.id}' is not complete",
                param="previous_response_id",
                code="previous_response_in_progress",
            )
        items += items_of(stored)
        items += response_of(stored)["output"]
    return items


def _reason(previous: str, gone: str) -> str:
    if gone == previous:
        return f"previous_response_id: there is no stored response '{gone}'"
    return (
        f"previous_response_id: '{previous}' goes on from '{gone}', which is not stored any more; "
        "send the whole conversation as input"
    )


async def _with_items(reading: Reading, store: AnswerStore, owner: str) -> Reading:
    """Return a request with stored items in the place of references to them."""
    items = reading.items
    wanted = [str(item["id"]) for item in items if _is_reference(item)]
    if not wanted:
        return reading
    found: dict[str, JsonObject] = {}
    for stored in await store.with_items(owner, wanted):
        parts = [*items_of(stored), *response_of(stored)["output"]]
        found |= {str(part["id"]): part for part in parts if part.get("id")}
    resolved_items = [_in_place(item, index, found) for index, item in enumerate(items)]
    return replace(reading, body=reading.body.model_copy(update={"input": resolved_items}))


def _is_reference(item: JsonObject) -> bool:
    return kind_of(item) == "item_reference" and isinstance(item.get("id"), str)


def _in_place(item: JsonObject, index: int, found: dict[str, JsonObject]) -> JsonObject:
    if not _is_reference(item):
        return item
    if item["id"] not in found:
        raise InvalidRequest(
            f"input[{index}]: there is no stored item '{item['id']}'",
            param=f"input[{index}]",
            code="item_not_found",
        )
    return found[item["id"]]
