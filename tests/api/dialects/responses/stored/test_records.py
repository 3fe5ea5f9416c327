"""A stored response is its object and its input items, each with an id."""

from __future__ import annotations

from typing import Any

from app.api.dialects.responses.stored.records import (
    items_of,
    response_of,
    settled,
    to_stored,
    with_ids,
)

ITEMS: list[dict[str, Any]] = [{"id": "msg_1", "type": "message", "role": "user", "content": "Hi"}]


def response(**fields: Any) -> dict[str, Any]:
    made = {"id": "resp_1", "status": "completed", "model": "m", "previous_response_id": None}
    return {**made, "output": [{"id": "msg_2", "type": "message"}], "error": None, **fields}


def test_every_item_gets_an_id_and_a_type_and_those_given_stay() -> None:
    long = "x" * 1000
    found = with_ids(
        [
            {"role": "user", "content": "Hi"},
            {"type": "function_call_output", "call_id": "c", "output": ""},
            {"type": "reasoning", "id": "rs_mine", "summary": []},
            {"type": "unheard_of", "id": None},
            {"role": "user", "id": long},
        ]
    )
    assert [item["type"] for item in found[:3]] == ["message", "function_call_output", "reasoning"]
    assert found[2]["id"] == "rs_mine"
    prefixes = [item["id"].partition("_")[0] for item in found]
    assert prefixes == ["msg", "fco", "rs", "item", "msg"]
    assert len({item["id"] for item in found} - {long}) == 5


def test_what_is_stored_comes_back() -> None:
    stored = to_stored(response(previous_response_id="resp_0"), ITEMS, b"events")
    assert (stored.id, stored.previous, stored.model) == ("resp_1", "resp_0", "m")
    assert stored.item_ids == ["msg_1", "msg_2"]
    assert response_of(stored) == response(previous_response_id="resp_0")
    assert items_of(stored) == ITEMS
    assert not stored.is_running
    assert settled(stored) is stored


def test_one_that_was_running_when_the_service_ended_has_failed() -> None:
    stored = to_stored(response(status="in_progress", output=[]), ITEMS)
    assert stored.is_running
    found = settled(stored)
    assert response_of(found)["status"] == "failed"
    assert response_of(found)["error"]["code"] == "server_error"
    assert items_of(found) == ITEMS
