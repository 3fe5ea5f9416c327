"""An engine's events become OpenAI's JSON, whole or in chunks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.api.dialects.chat_completions.answer import ChatResponse
from app.api.dialects.chat_completions.writer import (
    Reply,
    decode_per_second,
    per_second,
    timings_body,
    usage_body,
)
from app.protocol import (
    CacheMiss,
    Delta,
    Finished,
    PromptProgress,
    ReasoningDelta,
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


def reply(n_choices: int = 1, *, explains_cache: bool = False) -> Reply:
    model = 'odd "model".gguf'
    return Reply("chatcmpl-1", model, "fp_x", n_choices, explains_cache=explains_cache)


def whole(deltas: list[Delta]) -> dict[str, Any]:
    answer = reply()
    for delta in deltas:
        answer.collect(delta)
    answer.finish(FINISHED)
    return answer.whole()


def chunks(deltas: list[Delta]) -> list[dict[str, Any]]:
    answer = reply()
    answer.finish(FINISHED)
    raw = [*answer.first_chunks(), *map(answer.chunk, deltas), answer.last_chunk(FINISHED)]
    raw.append(answer.usage_chunk())
    assert not any(b"\n" in chunk for chunk in raw), "a line break would end the SSE data line"
    return [json.loads(chunk) for chunk in raw]


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


def test_rates_are_missing_where_no_time_passed_or_nothing_was_done() -> None:
    body = timings_body(FINISHED.timings)
    assert (body["prompt_per_second"], body["predicted_per_second"]) == (2.0, None)
    assert per_second(5, 0.0) is None
    assert per_second(0, 5.0) is None


def test_the_first_token_is_no_part_of_the_speed_of_decode() -> None:
    values = msgspec.structs.replace(FINISHED.timings, predicted_n=3, predicted_ms=1000.0)
    assert decode_per_second(values) == 2.0
    assert decode_per_second(msgspec.structs.replace(values, predicted_n=1)) is None
    assert decode_per_second(msgspec.structs.replace(values, predicted_n=0)) is None


def test_progress_is_a_chunk_without_text() -> None:
    event = PromptProgress(request_id="r", total=9, cache=2, processed=5, time_ms=1.5)
    chunk = json.loads(reply().progress_chunk(event))
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
    answer = reply(explains_cache=True)
    answer.start(Started(request_id="r", prompt_tokens=10, cached_tokens=4, miss=miss))
    answer.finish(FINISHED)
    body = answer.whole()
    ChatResponse.model_validate(body, strict=True)
    assert body["cache"] == {
        "tier": "disk",
        "cached_tokens": 4,
        "prompt_tokens": 10,
        "first_difference": first_difference,
    }
    assert json.loads(answer.last_chunk(FINISHED))["cache"] == body["cache"]


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


def three_answers() -> Reply:
    """Return a reply to `n: 3` whose answers came mixed and ended in another order."""
    answer = reply(3)
    for choice, text in [(1, "b"), (0, "a"), (2, "c"), (1, "B"), (0, "A")]:
        answer.collect(TextDelta(request_id="r", text=text, choice=choice))
    for end in ENDS:
        answer.finish(end)
    return answer


def test_answers_stand_in_their_order_however_they_came() -> None:
    body = three_answers().whole()
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
    }
    answer = three_answers()
    assert answer.whole()["usage"] == expected
    assert json.loads(answer.usage_chunk())["usage"] == expected


def test_times_and_reason_in_the_log_are_those_of_the_first_answer() -> None:
    answer = three_answers()
    assert (answer.timings().predicted_n, answer.finish_reason) == (3, "stop")
    assert answer.whole()["timings"] == timings_body(ENDS[1].timings)


def test_tool_calls_of_one_answer_are_no_part_of_another() -> None:
    answer = reply(2)
    for choice, arguments in ((0, '{"a":'), (1, '{"b":'), (1, "2}"), (0, "1}")):
        if arguments.startswith("{"):
            call_id = f"call_{choice}"
            answer.collect(
                ToolCallStart(request_id="r", index=0, id=call_id, name="f", choice=choice)
            )
        answer.collect(ToolCallDelta(request_id="r", index=0, arguments=arguments, choice=choice))
    for choice in range(2):
        answer.finish(finished(choice, 1, cached=0, reason="tool_calls"))
    calls = [choice["message"]["tool_calls"] for choice in answer.whole()["choices"]]
    assert [[call["id"] for call in mine] for mine in calls] == [["call_0"], ["call_1"]]
    arguments_of = [mine[0]["function"]["arguments"] for mine in calls]
    assert arguments_of == ['{"a":1}', '{"b":2}']


def test_a_stream_opens_with_a_chunk_for_each_answer() -> None:
    opening = [json.loads(chunk)["choices"] for chunk in reply(3).first_chunks()]
    assert [[choice["index"] for choice in choices] for choices in opening] == [[0], [1], [2]]
    assert all(choices[0]["delta"]["role"] == "assistant" for choices in opening)


@pytest.mark.parametrize("choice", [0, 2])
@pytest.mark.parametrize("delta", DELTAS[1::2])
def test_a_chunk_says_which_answer_it_is_a_piece_of(delta: Delta, choice: int) -> None:
    answer = reply(3)
    piece = json.loads(answer.chunk(msgspec.structs.replace(delta, choice=choice)))
    last = json.loads(answer.last_chunk(finished(choice, 1, cached=0)))
    for chunk in (piece, last):
        assert [entry["index"] for entry in chunk["choices"]] == [choice]


def test_a_reply_is_complete_with_its_last_answer_and_not_before() -> None:
    answer = reply(3)
    complete = [answer.is_complete]
    for end in ENDS:
        answer.finish(end)
        complete.append(answer.is_complete)
    assert complete == [False, False, False, True]


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
    answer = reply()
    answer.hold(told("ö".encode()[:1]))
    answer.collect(TextDelta(request_id="r", text="ö"))
    answer.finish(FINISHED)
    body = answer.whole()
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
    answer.hold(told(b"a", b"b"))
    answer.hold(told(b"x", choice=1))
    first = json.loads(answer.chunk(TextDelta(request_id="r", text="ab")))["choices"][0]
    second = json.loads(answer.chunk(TextDelta(request_id="r", text="c")))["choices"][0]
    other = json.loads(answer.chunk(TextDelta(request_id="r", text="x", choice=1)))["choices"][0]
    assert [tokens_of(choice) for choice in (first, second, other)] == [["a", "b"], [], ["x"]]
    assert first["delta"] == {"content": "ab"}


def test_logprobs_without_text_come_with_the_last_chunk() -> None:
    answer = reply()
    answer.hold(told(b"a"))
    last = json.loads(answer.last_chunk(FINISHED))["choices"][0]
    assert tokens_of(last) == ["a"]
    assert last["finish_reason"] == "tool_calls"
