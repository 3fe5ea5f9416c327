"""An engine's events become OpenAI's JSON, whole or in chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from app.api.answering.bodies import timings_body, usage_body
from app.api.dialects.chat_completions.answer_schemas import ChatResponse
from app.api.dialects.chat_completions.writer import ChatWriter
from app.api.outcome import Outcome
from app.errors import EngineDied
from app.protocol import (
    CacheMatch,
    CacheMiss,
    Delta,
    Finished,
    PromptProgress,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    Timings,
    TokenChance,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from app.web.framing import DONE
from tests.api.requests import command

DELTAS: list[Delta] = [
    ReasoningDelta(request_id="r", text="Let me "),
    ReasoningDelta(request_id="r", text="see."),
    TextDelta(request_id="r", text='Grüße "🦙"\n'),
    TextDelta(request_id="r", text="and more"),
    ToolCallStart(request_id="r", index=0, id="call_1", name="weather"),
    ToolCallDelta(request_id="r", index=0, arguments='{"city":'),
    ToolCallDelta(request_id="r", index=0, arguments='"Köln"}'),
    ToolCallStart(request_id="r", index=1, id="call_2", name="time"),
    ToolCallDelta(request_id="r", index=1, arguments="{}"),
]
FINISHED = Finished(
    request_id="r",
    reason="tool_calls",
    usage=Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=3),
    timings=Timings(
        queue_ms=1.0,
        ttft_ms=2.0,
        prompt_n=6,
        prompt_ms=3000.0,
        predicted_n=3,
        predicted_ms=0.0,
        cache_n=4,
        tier="disk",
        restore_ms=1.5,
    ),
)
MISS = CacheMiss(index=4, before="today is", prompt=" Friday", cached=" Monday")


STARTED = Started(request_id="r", prompt_tokens=10, cached_tokens=4)


def reply(n_choices: int = 1, **options: bool) -> ChatWriter:
    return ChatWriter("chatcmpl-1", 'odd "model".gguf', "fp_x", n_choices, **options)


def outcome_of(ends: Sequence[RequestEvent]) -> Outcome:
    outcome = Outcome([command(n=len(ends))])
    outcome.note(0, ends)
    return outcome


def body_of(answer: ChatWriter, events: Sequence[RequestEvent]) -> dict[str, Any]:
    """Return the whole answer that some events make."""
    for event in events:
        answer.collect(0, event)
    ends = [event for event in events if isinstance(event, Finished)]
    body: dict[str, Any] = json.loads(answer.whole(outcome_of(ends)))
    return body


def chunk_of(answer: ChatWriter, event: RequestEvent) -> dict[str, Any]:
    """Return the one chunk that an event makes."""
    (chunk,) = data_of(answer.feed(0, event))
    return chunk


def data_of(sent: bytes) -> list[dict[str, Any]]:
    """Return what the events of a stream carry; each is one line of JSON."""
    *frames, rest = sent.split(b"\n\n")
    assert rest == b""
    assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def whole(deltas: list[Delta]) -> dict[str, Any]:
    return body_of(reply(), [STARTED, *deltas, FINISHED])


def chunks(deltas: list[Delta]) -> list[dict[str, Any]]:
    answer = reply(includes_usage=True)
    events: list[RequestEvent] = [STARTED, *deltas, FINISHED]
    sent = b"".join(answer.feed(0, event) for event in events)
    return data_of(sent + answer.end(outcome_of([FINISHED])).removesuffix(DONE))


def joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a client joins from the deltas of a stream."""
    message: dict[str, Any] = {}
    for piece in pieces:
        for choice in piece["choices"]:
            delta = dict(choice["delta"])
            for part in delta.pop("tool_calls", ()):
                _join_call(message.setdefault("tool_calls", []), part)
            for key, text in delta.items():
                message[key] = message.get(key, "") + text
    return message


def _join_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if part["index"] == len(calls):
        calls.append({"id": "", "type": "", "function": {"name": "", "arguments": ""}})
    call = calls[part["index"]]
    for key in ("id", "type"):
        call[key] += part.get(key, "")
    for key, text in part["function"].items():
        call["function"][key] += text


@pytest.mark.parametrize("count", range(len(DELTAS) + 1))
def test_the_chunks_of_a_stream_add_up_to_the_whole_answer(count: int) -> None:
    message = whole(DELTAS[:count])["choices"][0]["message"]
    streamed = joined(chunks(DELTAS[:count]))
    streamed["content"] = streamed["content"] or message["content"]
    assert streamed == message


def test_a_whole_answer_has_the_documented_shape() -> None:
    body = whole(DELTAS)
    ChatResponse.model_validate(body, strict=True)
    assert body["model"] == 'odd "model".gguf'
    assert body["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_content_is_null_beside_tool_calls_without_text() -> None:
    assert whole(DELTAS[4:])["choices"][0]["message"]["content"] is None
    assert whole([])["choices"][0]["message"] == {"role": "assistant", "content": ""}


def test_thoughts_alone_leave_an_empty_content_and_beside_calls_none() -> None:
    thoughts, calls = DELTAS[:2], DELTAS[4:]
    alone = whole(thoughts)["choices"][0]["message"]
    assert (alone["content"], alone["reasoning_content"]) == ("", "Let me see.")
    beside = whole([*thoughts, *calls])["choices"][0]["message"]
    assert (beside["content"], beside["reasoning_content"]) == (None, "Let me see.")
    pieces = [piece["choices"][0]["delta"] for piece in chunks([*thoughts, *calls])[1:-1]]
    assert all("content" not in delta for delta in pieces)


def test_every_chunk_has_the_same_head() -> None:
    pieces = chunks(DELTAS)
    keys = ("id", "object", "created", "model", "system_fingerprint")
    assert {tuple(piece[key] for key in keys) for piece in pieces} == {
        (
            "chatcmpl-1",
            "chat.completion.chunk",
            pieces[0]["created"],
            'odd "model".gguf',
            "fp_x",
        )
    }


def test_only_the_last_chunk_says_why_the_answer_ended() -> None:
    *before, last, usage = chunks(DELTAS)
    assert {piece["choices"][0]["finish_reason"] for piece in before} == {None}
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert last["choices"][0]["delta"] == {}
    assert last["timings"] == timings_body(FINISHED.timings)
    assert usage["choices"] == []
    assert usage["usage"] == usage_body(FINISHED.usage)


def test_id_and_name_of_a_call_are_sent_once() -> None:
    parts = [
        part
        for piece in chunks(DELTAS)
        for choice in piece["choices"]
        for part in choice["delta"].get("tool_calls", ())
    ]
    assert [part["id"] for part in parts if "id" in part] == ["call_1", "call_2"]
    names = [part["function"]["name"] for part in parts if "name" in part["function"]]
    assert names == ["weather", "time"]


def test_a_stream_ends_with_done_and_with_usage_for_those_who_ask() -> None:
    assert reply().end(outcome_of([FINISHED])) == DONE
    usage, done = reply(includes_usage=True).end(outcome_of([FINISHED])).split(b"\n\n", 1)
    assert json.loads(usage.removeprefix(b"data: "))["choices"] == []
    assert done == DONE


def test_an_error_inside_a_stream_is_an_event_before_its_end() -> None:
    sent = reply().error(EngineDied("it ended"))
    (body,) = data_of(sent.removesuffix(DONE))
    assert sent.endswith(DONE)
    assert (body["error"]["code"], body["detail"]) == ("engine_died", "it ended")


def test_progress_is_a_chunk_without_text() -> None:
    event = PromptProgress(request_id="r", total=9, cache=2, processed=5, time_ms=1.5)
    chunk = chunk_of(reply(), event)
    assert chunk["prompt_progress"] == {"total": 9, "cache": 2, "processed": 5, "time_ms": 1.5}
    assert [choice["delta"] for choice in chunk["choices"]] == [{}]
    assert chunk["choices"][0]["finish_reason"] is None


# ---------------------------------------------------------------- what the cache had


@pytest.mark.parametrize(
    ("miss", "first_difference"),
    [
        (None, None),
        (MISS, {"index": 4, "before": "today is", "prompt": " Friday", "cached": " Monday"}),
    ],
)
def test_a_reply_that_explains_the_cache_says_where_the_prompt_parted(
    miss: CacheMiss | None, first_difference: dict[str, Any] | None
) -> None:
    started = msgspec.structs.replace(STARTED, miss=miss)
    body = body_of(reply(explains_cache=True), [started, FINISHED])
    ChatResponse.model_validate(body, strict=True)
    assert body["cache"] == {
        "tier": "disk",
        "cached_tokens": 4,
        "matched_tokens": 4,
        "not_restored": None,
        "prompt_tokens": 10,
        "first_difference": first_difference,
    }
    streamed = reply(explains_cache=True)
    streamed.feed(0, started)
    assert chunk_of(streamed, FINISHED)["cache"] == body["cache"]


@pytest.mark.parametrize(("reason", "told"), [("no_state", "no_state"), ("", None)])
def test_a_reply_that_explains_the_cache_says_why_less_was_restored(
    reason: str, told: str | None
) -> None:
    match = CacheMatch(tokens=9, not_restored=reason)
    started = msgspec.structs.replace(STARTED, match=match)
    body = body_of(reply(explains_cache=True), [started, FINISHED])
    ChatResponse.model_validate(body, strict=True)
    assert (body["cache"]["matched_tokens"], body["cache"]["not_restored"]) == (9, told)


def test_other_replies_say_only_where_the_cached_part_was() -> None:
    body = whole(DELTAS)
    last = chunks(DELTAS)[-2]
    assert "cache" not in body
    assert "cache" not in last
    for timings in (body["timings"], last["timings"]):
        assert (timings["tier"], timings["restore_ms"]) == ("disk", 1.5)


# ---------------------------------------------------------------- several answers


def finished(choice: int, n_completion: int, *, cached: int, reason: str = "stop") -> Finished:
    usage = Usage(prompt_tokens=10, cached_tokens=cached, completion_tokens=n_completion)
    timings = msgspec.structs.replace(FINISHED.timings, predicted_n=n_completion)
    return Finished(request_id="r", reason=reason, usage=usage, timings=timings, choice=choice)


ENDS = [
    finished(2, 5, cached=9, reason="length"),
    finished(0, 3, cached=4),
    finished(1, 7, cached=9),
]


MIXED: list[RequestEvent] = [
    TextDelta(request_id="r", text=text, choice=choice)
    for choice, text in [(1, "b"), (0, "a"), (2, "c"), (1, "B"), (0, "A")]
]


def three_answers() -> dict[str, Any]:
    """Return the reply to `n: 3` whose answers came mixed and ended in another order."""
    return body_of(reply(3), [*MIXED, *ENDS])


def test_answers_stand_in_their_order_however_they_came() -> None:
    body = three_answers()
    ChatResponse.model_validate(body, strict=True)
    choices = body["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in choices] == ["aA", "bB", "c"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "stop", "length"]


def test_usage_counts_the_prompt_once_and_the_tokens_of_all_answers() -> None:
    expected = {
        "prompt_tokens": 10,
        "completion_tokens": 15,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert three_answers()["usage"] == expected
    streamed = reply(3, includes_usage=True).end(outcome_of(ENDS))
    assert data_of(streamed.removesuffix(DONE))[0]["usage"] == expected


def test_times_are_those_of_the_first_answer() -> None:
    assert three_answers()["timings"] == timings_body(ENDS[1].timings)


def test_tool_calls_of_one_answer_are_no_part_of_another() -> None:
    events: list[RequestEvent] = []
    for choice, arguments in ((0, '{"a":'), (1, '{"b":'), (1, "2}"), (0, "1}")):
        if arguments.startswith("{"):
            call_id = f"call_{choice}"
            events.append(
                ToolCallStart(request_id="r", index=0, id=call_id, name="f", choice=choice)
            )
        events.append(ToolCallDelta(request_id="r", index=0, arguments=arguments, choice=choice))
    events += [finished(choice, 1, cached=0, reason="tool_calls") for choice in range(2)]
    calls = [choice["message"]["tool_calls"] for choice in body_of(reply(2), events)["choices"]]
    assert [[call["id"] for call in mine] for mine in calls] == [["call_0"], ["call_1"]]
    arguments_of = [mine[0]["function"]["arguments"] for mine in calls]
    assert arguments_of == ['{"a":1}', '{"b":2}']


def test_a_stream_opens_with_a_chunk_for_each_answer() -> None:
    opening = [chunk["choices"] for chunk in data_of(reply(3).feed(0, STARTED))]
    assert [[choice["index"] for choice in choices] for choices in opening] == [[0], [1], [2]]
    assert all(choices[0]["delta"]["role"] == "assistant" for choices in opening)


@pytest.mark.parametrize("choice", [0, 2])
@pytest.mark.parametrize("delta", DELTAS[1::2])
def test_a_chunk_says_which_answer_it_is_a_piece_of(delta: Delta, choice: int) -> None:
    answer = reply(3)
    piece = chunk_of(answer, msgspec.structs.replace(delta, choice=choice))
    last = chunk_of(answer, finished(choice, 1, cached=0))
    for chunk in (piece, last):
        assert [entry["index"] for entry in chunk["choices"]] == [choice]


# ---------------------------------------------------------------- logprobs


def told(*pieces: bytes, choice: int = 0) -> TokenLogprobs:
    tokens = [
        TokenLogprob(piece=piece, logprob=-0.5, top=[TokenChance(piece=b"a", logprob=-0.25)])
        for piece in pieces
    ]
    return TokenLogprobs(request_id="r", tokens=tokens, choice=choice)


def tokens_of(choice: dict[str, Any]) -> list[str]:
    return [token["token"] for token in (choice["logprobs"] or {"content": []})["content"]]


def test_logprobs_have_openais_shape() -> None:
    first_byte = told("ö".encode()[:1])
    body = body_of(reply(), [first_byte, TextDelta(request_id="r", text="ö"), FINISHED])
    ChatResponse.model_validate(body, strict=True)
    assert body["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "\ufffd",
                "logprob": -0.5,
                "bytes": [0xC3],
                "top_logprobs": [{"token": "a", "logprob": -0.25, "bytes": [97]}],
            }
        ],
        "refusal": None,
    }


def test_answers_without_logprobs_say_null() -> None:
    assert whole(DELTAS)["choices"][0]["logprobs"] is None
    assert all(piece["choices"][0]["logprobs"] is None for piece in chunks(DELTAS)[:-1])


def test_each_chunk_carries_the_logprobs_that_came_before_it_of_its_own_answer() -> None:
    answer = reply(2)
    assert answer.feed(0, told(b"a", b"b")) == b""
    assert answer.feed(0, told(b"x", choice=1)) == b""
    first = chunk_of(answer, TextDelta(request_id="r", text="ab"))["choices"][0]
    second = chunk_of(answer, TextDelta(request_id="r", text="c"))["choices"][0]
    other = chunk_of(answer, TextDelta(request_id="r", text="x", choice=1))["choices"][0]
    assert [tokens_of(choice) for choice in (first, second, other)] == [["a", "b"], [], ["x"]]
    assert first["delta"] == {"content": "ab"}


def test_logprobs_without_text_come_with_the_last_chunk() -> None:
    answer = reply()
    answer.feed(0, told(b"a"))
    last = chunk_of(answer, FINISHED)["choices"][0]
    assert tokens_of(last) == ["a"]
    assert last["finish_reason"] == "tool_calls"
