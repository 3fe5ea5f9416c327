"""Thoughts travel in `encrypted_content` and come back as they were."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.responses.thoughts import sealed, unsealed


@given(st.text())
def test_thoughts_come_back(text: str) -> None:
    assert unsealed(sealed(text)) == text


@pytest.mark.parametrize(
    "foreign",
    ["", "gAAAA", "no base64!", "é", base64.b64encode(b"something else").decode()],
)
def test_what_another_service_wrote_has_none(foreign: str) -> None:
    assert unsealed(foreign) is None


def test_bytes_that_are_no_text_are_none() -> None:
    mark = base64.b64decode(sealed(""))
    assert unsealed(base64.b64encode(mark + b"\xff").decode()) is None
