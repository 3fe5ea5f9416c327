"""Text that UTF-8 cannot carry becomes text that it can."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.json_types import plain_json, without_lone_escapes, without_lone_surrogates

LONE = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("json_text", "expected"),
    [
        (r'"\ud83d"', LONE),
        (r'"a\uDE00b"', f"a{LONE}b"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\ud83d\ud83d\ude00"', f"{LONE}\U0001f600"),
        (r'"\ude00\ud83d"', LONE * 2),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d"', f"\\{LONE}"),
        (r'"\ud83d\\ude00"', f"{LONE}\\ude00"),
        (r'"\ud83d\n\u00fc"', f"{LONE}\nü"),
        (r'"{\"a\": \"\\ud83d\"}"', r'{"a": "\ud83d"}'),
    ],
)
def test_an_escape_that_is_half_a_pair_is_a_replacement_character(
    json_text: str, expected: str
) -> None:
    assert json.loads(without_lone_escapes(json_text.encode())) == expected


ANY = st.text(st.characters() | st.sampled_from('\\"u\ud83d\ude00'))


@given(
    st.recursive(ANY | st.none() | st.integers(), lambda v: st.lists(v) | st.dictionaries(ANY, v))
)
def test_escapes_and_values_are_replaced_alike(value: object) -> None:
    readable = json.loads(without_lone_escapes(json.dumps(value).encode()))
    assert json.dumps(readable, sort_keys=True) == json.dumps(plain_json(value), sort_keys=True)
    json.dumps(readable, ensure_ascii=False).encode()


@given(ANY)
def test_text_that_can_be_encoded_stays_as_it_is(text: str) -> None:
    plain = without_lone_surrogates(text)
    assert len(plain) == len(text)
    assert [new for old, new in zip(text, plain, strict=True) if old != new] == [
        LONE for char in text if "\ud800" <= char <= "\udfff"
    ]
