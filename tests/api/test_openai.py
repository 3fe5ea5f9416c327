"""OpenAI's JSON becomes a command, and events become OpenAI's JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.openai import (
    Reply,
    decode_per_second,
    per_second,
    timings_body,
    to_generate,
    to_prefill,
    usage_body,
)
from app.api.schemas.chat import ChatRequest, ChatResponse, RestoreCacheRequest
from app.errors import InvalidRequest
from app.protocol import (
    Delta,
    Finished,
    Generate,
    PromptProgress,
    ReasoningDelta,
    SamplingParams,
    TextDelta,
    Timings,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    encode,
)

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
DEFAULTS = SamplingParams(temperature=0.5, top_k=7, seed=3)
N_VOCAB = 100


def command(*, default_max_tokens: int | None = None, **body: Any) -> Generate:
    request = ChatRequest.model_validate_json(json.dumps({"messages": [USER], **body}))
    return to_generate(
        request, "r", defaults=DEFAULTS, max_tokens=default_max_tokens, n_vocab=N_VOCAB
    )


def sampling(**body: Any) -> SamplingParams:
    return command(**body).sampling


# ---------------------------------------------------------------- requests


def test_a_request_that_names_no_values_gets_the_defaults() -> None:
    bare = command(default_max_tokens=50)
    assert bare.sampling == DEFAULTS
    assert (bare.max_tokens, bare.stop, bare.tools, bare.template_kwargs) == (50, [], [], {})


def test_inference_configs_win_over_the_top_level_and_that_over_the_defaults() -> None:
    values = sampling(
        temperature=1.0, top_p=0.6, inference_configs={"temperature": 2.0, "min_p": 0.2}
    )
    assert (values.temperature, values.top_p, values.min_p, values.top_k) == (2.0, 0.6, 0.2, 7)


def test_zero_is_a_value_and_null_is_none() -> None:
    assert sampling(temperature=0).temperature == 0.0
    assert sampling(temperature=None).temperature == DEFAULTS.temperature
    assert sampling(top_p=0.6, inference_configs={"top_p": None}).top_p == 0.6
    assert sampling(seed=None).seed == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 1.25),
        ("top_p", 0.25),
        ("top_k", 3),
        ("min_p", 0.25),
        ("typical_p", 0.25),
        ("repeat_penalty", 1.25),
        ("repeat_last_n", 5),
        ("frequency_penalty", 0.25),
        ("presence_penalty", 0.25),
        ("seed", 5),
    ],
)
def test_each_sampling_value_can_be_given_in_both_places(name: str, value: float) -> None:
    body: dict[str, Any] = {name: value}
    assert getattr(sampling(**body), name) == value
    assert getattr(sampling(inference_configs=body), name) == value


def test_repetition_penalty_is_another_name_of_repeat_penalty() -> None:
    assert sampling(repetition_penalty=1.5).repeat_penalty == 1.5
    assert sampling(inference_configs={"repetition_penalty": 1.5}).repeat_penalty == 1.5


def test_a_place_that_wins_does_so_under_either_name() -> None:
    top: dict[str, Any] = {"repetition_penalty": 1.5, "max_completion_tokens": 5}
    won = command(**top, inference_configs={"repeat_penalty": 1.25, "max_tokens": 6})
    assert (won.sampling.repeat_penalty, won.max_tokens) == (1.25, 6)
    top = {"repeat_penalty": 1.5, "max_tokens": 5}
    other = {"repetition_penalty": 1.25, "max_completion_tokens": 6}
    won = command(**top, inference_configs=other)
    assert (won.sampling.repeat_penalty, won.max_tokens) == (1.25, 6)


def test_max_tokens_is_limited_by_the_request_before_the_default() -> None:
    assert command(default_max_tokens=50, max_tokens=5).max_tokens == 5
    assert command(default_max_tokens=50, max_completion_tokens=6).max_tokens == 6
    assert command().max_tokens is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"stop": "user:"}, ["user:"]),
        ({"stop": ["a", "b"]}, ["a", "b"]),
        ({"stop": []}, []),
        ({"stop": None}, []),
        ({"stop": "a", "inference_configs": {"stop": ["user:"]}}, ["user:"]),
        ({"stop": "a", "inference_configs": {"stop": []}}, []),
        ({"stop": "a", "inference_configs": {}}, ["a"]),
    ],
)
def test_stop_strings_come_alone_or_as_a_list(body: dict[str, Any], expected: list[str]) -> None:
    assert command(**body).stop == expected


@given(st.integers(0, 2**63 - 1))
def test_a_seed_is_folded_to_what_llama_cpp_takes(seed: int) -> None:
    folded = sampling(seed=seed).seed
    assert folded is not None
    assert 0 <= folded < 2**31
    if seed < 2**31:
        assert folded == seed


def test_seeds_that_differ_only_in_their_high_bits_stay_different() -> None:
    assert sampling(seed=1).seed != sampling(seed=1 + 2**40).seed


def test_a_default_seed_is_folded_as_well() -> None:
    request = ChatRequest.model_validate({"messages": [USER]})
    random_in_llama_cpp = SamplingParams(seed=2**32 - 1)
    made = to_generate(request, "r", defaults=random_in_llama_cpp, max_tokens=None, n_vocab=1)
    assert made.sampling.seed is not None
    assert made.sampling.seed < 2**31


def test_logit_bias_names_token_ids() -> None:
    assert sampling(logit_bias={"0": -100, "99": 1.5}).logit_bias == {0: -100.0, 99: 1.5}


@pytest.mark.parametrize(
    "key",
    [
        "100",
        "-1",
        "1.0",
        "a",
        "",
        " 1",
        "9" * 5000,
    ],
)
def test_a_logit_bias_for_what_is_no_token_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        command(logit_bias={key: 1})
    assert refused.value.param == "logit_bias"
    assert "ids run from 0 to 99" in refused.value.message


def test_messages_and_tools_reach_the_engine_as_they_were_sent() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": {"a": 1}}}
    messages = [
        USER | {"custom": [1, {"x": None}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c"},
    ]
    made = command(messages=messages, tools=[TOOL], chat_template_kwargs={"thinking": False})
    assert made.messages == messages
    assert made.tools == [TOOL]
    assert made.template_kwargs == {"thinking": False}


def test_a_number_that_no_message_to_the_engine_can_carry_is_the_clients_mistake() -> None:
    with pytest.raises((InvalidRequest, ValidationError)):
        encode(command(chat_template_kwargs={"n": 10**30}))


def test_one_answer_is_wanted_unless_more_are_asked_for() -> None:
    assert (command().n, command(n=None).n, command(n=3).n) == (1, 1, 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"return_progress": True, "stream": True}, True),
        ({"return_progress": True}, False),
        ({"return_progress": False, "stream": True}, False),
        ({"stream": True}, False),
    ],
)
def test_progress_is_reported_to_streams_that_ask_for_it(
    body: dict[str, Any], expected: bool
) -> None:
    assert command(**body).report_progress is expected


def test_tool_choice_none_hides_the_tools() -> None:
    assert command(tools=[TOOL], tool_choice="none").tools == []
    assert command(tools=[TOOL], tool_choice="auto").tools == [TOOL]


def test_a_prompt_to_be_kept_ready_is_the_one_that_a_chat_will_have() -> None:
    body: dict[str, Any] = {
        "messages": [USER],
        "tools": [TOOL],
        "chat_template_kwargs": {"thinking": False},
    }
    ready = to_prefill(RestoreCacheRequest.model_validate(body), "r")
    chat = command(**body)
    assert (ready.messages, ready.tools, ready.template_kwargs) == (
        chat.messages,
        chat.tools,
        chat.template_kwargs,
    )


# ---------------------------------------------------------------- answers

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
    ),
)


def reply(n_choices: int = 1) -> Reply:
    return Reply("chatcmpl-1", 'odd "model".gguf', "fp_x", n_choices)


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
