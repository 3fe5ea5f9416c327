"""Input items are listed page by page, the newest first unless asked otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.responses.stored.pages import as_listed, page_of
from app.errors import InvalidRequest

ITEMS = [{"id": str(number), "type": "reasoning"} for number in range(5)]


def ids(**query: Any) -> list[str]:
    return [item["id"] for item in page_of(ITEMS, query)["data"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "43210"),
        ({"order": "asc"}, "01234"),
        ({"order": "asc", "limit": "2"}, "01"),
        ({"order": "asc", "after": "1"}, "234"),
        ({"after": "3", "limit": "2"}, "21"),
        ({"order": "asc", "before": "2"}, "01"),
        ({"order": "asc", "after": "0", "before": "3"}, "12"),
        ({"after": "0"}, ""),
        ({"limit": None, "order": None, "after": None, "before": None}, "43210"),
    ],
)
def test_a_page_has_what_was_asked_for(query: dict[str, Any], expected: str) -> None:
    assert ids(**query) == list(expected)


def test_a_page_says_whether_there_is_more() -> None:
    page = page_of(ITEMS, {"limit": "2"})
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("4", "3", True)
    assert page_of(ITEMS, {"limit": "5"})["has_more"] is False
    assert page_of([], {})["first_id"] is None


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "x"),
        ("limit", "-1"),
        ("order", "up"),
        ("after", "unheard of"),
        ("before", "unheard of"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(param: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ids(**{param: value})
    assert refused.value.param == param


def test_a_messages_text_is_a_part_of_it() -> None:
    listed = as_listed({"id": "1", "type": "message", "role": "user", "content": "Hi"})
    assert listed["content"] == [{"type": "input_text", "text": "Hi"}]
    assert listed["status"] == "completed"
    listed = as_listed({"id": "1", "type": "message", "role": "assistant", "content": "Hi"})
    assert listed["content"] == [{"type": "output_text", "text": "Hi", "annotations": []}]
    other = {"id": "1", "type": "message", "role": "user", "content": [{"type": "input_text"}]}
    assert as_listed(other) is other
