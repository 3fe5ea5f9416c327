"""Requests are read into what the driver needs."""

from __future__ import annotations

import pytest

from app.api.dialects.anthropic.reader import ask_of
from app.errors import InvalidRequest
from tests.api.dialects.anthropic.anthropic_requests import SIGNER, body_of, data_of
from tests.api.requests import served


def test_a_request_has_the_model_and_the_stream_that_it_names() -> None:
    ask, _ = ask_of(body_of(data_of(model="claude-local", stream=True)), SIGNER, "r")
    assert (ask.model, ask.stream, ask.overrides) == ("claude-local", True, {})
    assert ask.reply_id.startswith("msg_")
    (command,) = ask.commands(served())
    assert command.request_id == ask.reply_id
    ask, _ = ask_of(body_of(data_of(stream=None)), SIGNER, "r")
    assert (ask.model, ask.stream) == (None, False)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"nul", b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body_of(data)
    assert refused.value.param == "body"


def test_half_a_surrogate_pair_ends_no_conversation() -> None:
    data = rb'{"messages": [{"role": "user", "content": "\ud83d"}]}'
    ask, _ = ask_of(body_of(data), SIGNER, "r")
    assert ask.commands(served())
