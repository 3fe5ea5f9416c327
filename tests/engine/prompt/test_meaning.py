"""An answer means the same however its calls and the space around its text are written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.engine.prompt.meaning import Meaning
from tests.engine.prompt.test_generated_turns import thinking
from tests.engine.prompt.turn_makers import call, hermes, plain


def test_the_meaning_of_an_answer_is_its_content_and_its_calls() -> None:
    text = " Look:\n" + call('{"b": 1.0, "a": "ü"}') + "\n"
    calls = (("f", '{"a": "\\u00fc", "b": 1}', True),)
    assert hermes(text) == Meaning("Look:", "", calls)
    assert plain(text) == Meaning(text.strip(), "", ())
    assert thinking("<think>\nHm.\n</think>\n\nYes") == Meaning("Yes", "Hm.", ())


def test_a_long_answer_means_what_its_pieces_do() -> None:
    arguments = json.dumps({"text": "x" * 9_000})
    assert hermes("y" * 4_090 + call(arguments)) == Meaning(
        "y" * 4_090, "", (("f", arguments, True),)
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_a_call_means_the_same_however_its_arguments_are_serialised(value: dict[str, Any]) -> None:
    ways = [
        json.dumps(value),
        json.dumps(value, ensure_ascii=False, indent=1),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")),
    ]
    assert len({hermes(call(way)) for way in ways}) == 1
