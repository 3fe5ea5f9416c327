"""An engine is sent the conversation as the client wrote it."""

from __future__ import annotations

import json
import math

import pytest

from app.api.chat.conversation import ConversationText, conversation_text
from app.api.schemas.conversation import ConversationFields

MESSAGE = b'{"content" : "Gr\\u00fc\xc3\x9fe", "role":"user", "more": {"b": 1, "a": [null]}}'
TOOL = b'{"function": {"name": "f", "custom": 1.0}, "type": "function"}'


def text_of(data: bytes) -> ConversationText:
    return conversation_text(data, ConversationFields.model_validate_json(data))


def test_messages_and_tools_are_parts_of_the_body() -> None:
    data = b'{"model": "m", "tools" : [' + TOOL + b'], "messages":[\n' + MESSAGE + b"]}"
    assert text_of(data) == ConversationText(b"[\n" + MESSAGE + b"]", b"[" + TOOL + b"]")


@pytest.mark.parametrize("tools", [b"", b', "tools": null', b', "tools": []'])
def test_no_tools_are_an_empty_list(tools: bytes) -> None:
    assert text_of(b'{"messages": [' + MESSAGE + b"]" + tools + b"}").tools == b"[]"


def test_of_two_fields_of_one_name_the_last_is_validated_and_sent() -> None:
    data = b'{"messages": [{"role": "robot"}], "messages": [' + MESSAGE + b"]}"
    assert text_of(data).messages == b"[" + MESSAGE + b"]"


def test_what_the_validation_passes_though_it_is_no_json_reaches_the_engine_too() -> None:
    data = b'{"messages": [{"role": "user", "content": "", "x": NaN}], "tools": [' + TOOL + b"]}"
    text = text_of(data)
    assert math.isnan(json.loads(text.messages)[0]["x"])
    assert json.loads(text.tools) == [json.loads(TOOL)]
