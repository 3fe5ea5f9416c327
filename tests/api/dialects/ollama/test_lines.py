"""The objects of Ollama's answers."""

from __future__ import annotations

import datetime
import json

import msgspec
import pytest

from app.api.dialects.ollama.lines import (
    Part,
    call_body,
    chat_body,
    end_body,
    generate_body,
    head_body,
    logprobs_body,
)
from app.protocol import Finished, TokenChance, TokenLogprob
from tests.host.fake_engine import TIMINGS, USAGE


def finished(reason: str) -> Finished:
    return Finished(request_id="r", reason=reason, usage=USAGE, timings=TIMINGS)


def test_a_line_begins_with_the_model_and_a_time_that_everybody_can_read() -> None:
    head = head_body("m:latest")
    assert head["model"] == "m:latest"
    assert head["created_at"].endswith("Z")
    moment = datetime.datetime.fromisoformat(head["created_at"])
    assert moment.utcoffset() == datetime.timedelta(0)
    assert len(head["created_at"]) == len("2026-11-30T20:03:47.509392Z")


def test_a_chats_part_is_a_message_whose_content_is_always_text() -> None:
    call = {"id": "c", "function": {"index": 0, "name": "f", "arguments": {}}}
    assert chat_body(Part(text="Hi")) == {"message": {"role": "assistant", "content": "Hi"}}
    assert chat_body(Part(thinking="Hm")) == {
        "message": {"role": "assistant", "content": "", "thinking": "Hm"}
    }
    assert chat_body(Part(calls=[call])) == {
        "message": {"role": "assistant", "content": "", "tool_calls": [call]}
    }


def test_a_prompts_part_is_a_response() -> None:
    assert generate_body(Part(text="Hi")) == {"response": "Hi"}
    assert generate_body(Part(thinking="Hm")) == {"response": "", "thinking": "Hm"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a":1}', {"a": 1}),
        ('{\n  "a" : [1,\n 2]\n}', {"a": [1, 2]}),
        ("", {}),
        ("  ", {}),
        ('{"a":"ü\\n🦙"}', {"a": "ü\n🦙"}),
        (f'{{"a":{10**30}}}', {"a": 10**30}),
    ],
)
def test_arguments_are_an_object_on_one_line(arguments: str, expected: dict[str, object]) -> None:
    body = call_body(1, "c", "f", arguments)
    encoded = msgspec.json.encode(body)
    assert b"\n" not in encoded
    assert json.loads(encoded) == {
        "id": "c",
        "function": {"index": 1, "name": "f", "arguments": expected},
    }


@pytest.mark.parametrize("arguments", ['{"a":', "{", "[1]", "5", '"a"', "null", "x", "[" * 5000])
def test_arguments_that_were_cut_off_are_no_call(arguments: str) -> None:
    assert call_body(0, "c", "f", arguments) is None


def test_logprobs_have_token_bytes_and_alternatives() -> None:
    token = TokenLogprob(
        id=3, piece=b"\xc3", logprob=-1.0, top=[TokenChance(piece=b"a", logprob=-0.5)]
    )
    assert logprobs_body([]) == {}
    assert logprobs_body([token]) == {
        "logprobs": [
            {
                "token": "\N{REPLACEMENT CHARACTER}",
                "logprob": -1.0,
                "bytes": [0xC3],
                "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}],
            }
        ]
    }


def test_the_end_has_counts_and_whole_nanoseconds() -> None:
    end = end_body(finished("stop"), total_ns=5, load_ns=2)
    assert end == {
        "done": True,
        "done_reason": "stop",
        "total_duration": 5,
        "load_duration": 2,
        "prompt_eval_count": USAGE.prompt_tokens,
        "prompt_eval_duration": 1_000_000,
        "eval_count": USAGE.completion_tokens,
        "eval_duration": 1_000_000,
        "cached_tokens": USAGE.cached_tokens,
    }
    assert all(type(end[name]) is int for name in end if name.endswith("duration"))


@pytest.mark.parametrize(
    ("reason", "done_reason"), [("stop", "stop"), ("tool_calls", "stop"), ("length", "length")]
)
def test_an_answer_with_calls_has_stopped(reason: str, done_reason: str) -> None:
    assert end_body(finished(reason), total_ns=1, load_ns=1)["done_reason"] == done_reason
