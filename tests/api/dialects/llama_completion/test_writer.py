"""An engine's events become llama-server's completions, whole or as a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.dialects.llama_completion.schemas import NativeCompletionResponse, NativeErrorBody
from app.api.dialects.llama_completion.writer import NativeWriter
from app.api.outcome import Outcome
from app.errors import EngineDied
from app.protocol import (
    Constraint,
    Finished,
    Generate,
    PromptEcho,
    PromptProgress,
    RawPrompt,
    RequestEvent,
    SamplingParams,
    Started,
    TextDelta,
    TokenChance,
    TokenLogprob,
    TokenLogprobs,
    TokensGenerated,
    Usage,
)
from tests.host.fake_engine import TIMINGS

Event = tuple[int, RequestEvent]

CONTEXT = 512


def command(**fields: Any) -> Generate:
    told: dict[str, Any] = {"prompt": RawPrompt(text="Once"), "echo": True, "max_tokens": 8}
    sampling = fields.pop("sampling", SamplingParams())
    return Generate(request_id="r", sampling=sampling, **(told | fields))


def text(said: str, choice: int = 0) -> TextDelta:
    return TextDelta(request_id="r", text=said, choice=choice)


def tokens(*ids: int, choice: int = 0) -> TokensGenerated:
    return TokensGenerated(request_id="r", tokens=list(ids), choice=choice)


def finished(choice: int = 0, reason: str = "stop", **fields: Any) -> Finished:
    usage = Usage(prompt_tokens=4, cached_tokens=1, completion_tokens=2)
    told: dict[str, Any] = {"request_id": "r", "usage": usage, "timings": TIMINGS}
    return Finished(reason=reason, choice=choice, **(told | fields))


def writer(*told: Generate, streams: bool = False, **given: Any) -> NativeWriter:
    return NativeWriter("m.gguf", CONTEXT, told, streams=streams, **given)


def whole(events: list[Event], *told: Generate, **given: Any) -> Any:
    asked = told or (command(),)
    written, outcome = writer(*asked, **given), Outcome(asked)
    for prompt_no, event in events:
        written.collect(prompt_no, event)
        outcome.note(prompt_no, [event])
    body = json.loads(written.whole(outcome))
    if not given:
        NativeCompletionResponse.model_validate(body)
    return body


def streamed(events: list[Event], *told: Generate, **given: Any) -> list[dict[str, Any]]:
    asked = told or (command(),)
    written, outcome = writer(*asked, streams=True, **given), Outcome(asked)
    sent = b""
    for prompt_no, event in events:
        sent += written.feed(prompt_no, event)
        outcome.note(prompt_no, [event])
    sent += written.end(outcome)
    *frames, nothing = sent.decode().split("\n\n")
    assert nothing == ""
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


ONE: list[Event] = [
    (0, Started(request_id="r", prompt_tokens=4, cached_tokens=1)),
    (0, PromptEcho(request_id="r", text="<s>Once")),
    (0, tokens(5)),
    (0, text(" upon\n")),
    (0, tokens(6)),
    (0, text("a time")),
    (0, finished()),
]


def test_a_whole_answer_has_all_of_llama_servers_fields() -> None:
    body = whole(ONE)
    assert body.pop("timings")["prompt_n"] == TIMINGS.prompt_n
    assert body.pop("generation_settings")["n_ctx"] == CONTEXT
    assert body == {
        "index": 0,
        "content": " upon\na time",
        "tokens": [5, 6],
        "id_slot": -1,
        "stop": True,
        "model": "m.gguf",
        "tokens_predicted": 2,
        "tokens_evaluated": 4,
        "prompt": "<s>Once",
        "has_new_line": True,
        "truncated": False,
        "stop_type": "eos",
        "stopping_word": "",
        "tokens_cached": 1,
    }


def test_a_stream_has_parts_and_ends_with_a_result() -> None:
    first, second, last = streamed(ONE)
    assert first == {
        "index": 0,
        "content": " upon\n",
        "tokens": [5],
        "stop": False,
        "id_slot": -1,
        "tokens_predicted": 1,
        "tokens_evaluated": 4,
    }
    assert (second["content"], second["tokens"]) == ("a time", [6])
    assert (last["content"], last["tokens"], last["stop"]) == ("", [], True)
    assert last["has_new_line"]
    assert last["generation_settings"]["stream"] is True


@pytest.mark.parametrize(
    ("end", "limit", "expected"),
    [
        (finished(), 8, ("eos", "", False)),
        (finished(stop_string="\n"), 8, ("word", "\n", False)),
        (finished(reason="length"), 2, ("limit", "", False)),
        (finished(reason="length"), 8, ("limit", "", True)),
        (finished(reason="length"), None, ("limit", "", True)),
    ],
)
def test_an_answer_says_why_it_ended(
    end: Finished, limit: int | None, expected: tuple[str, str, bool]
) -> None:
    body = whole([(0, end)], command(max_tokens=limit))
    assert (body["stop_type"], body["stopping_word"], body["truncated"]) == expected


def test_several_answers_are_a_list_in_the_order_of_their_prompts() -> None:
    events: list[Event] = [
        (1, text("c")),
        (0, text("b", choice=1)),
        (0, text("a", choice=0)),
        (1, text("d", choice=1)),
        *((no, finished(choice)) for no in (1, 0) for choice in (1, 0)),
    ]
    body = whole(events, command(n=2), command(n=2))
    assert [(each["index"], each["content"]) for each in body] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "d"),
    ]


LOGPROBS = TokenLogprobs(
    request_id="r",
    tokens=[
        TokenLogprob(
            id=7,
            piece="ü".encode(),
            logprob=-1.0,
            top=[TokenChance(id=8, piece=b"\xff", logprob=-0.5)],
        )
    ],
)
PROBABILITIES = [
    {
        "id": 7,
        "token": "ü",
        "bytes": [195, 188],
        "logprob": -1.0,
        "top_logprobs": [{"id": 8, "token": "\ufffd", "bytes": [255], "logprob": -0.5}],
    }
]


def test_probabilities_are_listed_where_they_are_asked_for() -> None:
    events: list[Event] = [(0, LOGPROBS), (0, text("ü")), (0, finished())]
    assert whole(events, command(n_logprobs=1))["completion_probabilities"] == PROBABILITIES
    part, last = streamed(events, command(n_logprobs=1))
    assert part["completion_probabilities"] == PROBABILITIES
    assert last["completion_probabilities"] == []


def test_progress_of_the_prefill_is_a_part_without_content() -> None:
    progress = PromptProgress(request_id="r", total=9, cache=1, processed=5, time_ms=2.0)
    (part,) = streamed([(0, progress)])
    assert part["content"] == ""
    assert part["prompt_progress"] == {"total": 9, "cache": 1, "processed": 5, "time_ms": 2.0}


def test_only_the_wanted_fields_are_returned() -> None:
    fields = ["content", "timings/prompt_n", "generation_settings/top_k", "no/such", "content/no"]
    wanted = {"content": " upon\na time", "timings/prompt_n": 2, "generation_settings/top_k": 40}
    assert whole(ONE, response_fields=fields) == wanted
    *parts, last = streamed(ONE, response_fields=fields)
    assert last == {**wanted, "content": ""}
    assert all("stop" in part for part in parts)


def test_the_settings_of_the_answer_are_told() -> None:
    sampling = SamplingParams(top_k=3, logit_bias={4: -1.0})
    constraint = Constraint(kind="grammar", text="root", param="grammar")
    told = command(sampling=sampling, constraint=constraint, max_tokens=None, stop=["x"])
    settings = whole([(0, finished())], told)["generation_settings"]
    assert settings["top_k"] == 3
    assert settings["logit_bias"] == [{"token": 4, "bias": -1.0}]
    assert settings["seed"] == 2**32 - 1
    assert settings["n_predict"] == settings["max_tokens"] == -1
    assert settings["stop"] == ["x"]
    assert settings["grammar"] == "root"
    assert settings["samplers"][-1] == "temperature"


def test_the_slot_that_was_asked_for_is_sent_back() -> None:
    assert whole([(0, finished())], id_slot=3)["id_slot"] == 3


def test_an_error_ends_a_stream_in_llama_servers_shape() -> None:
    frame = writer(command()).error(EngineDied("gone")).decode()
    body = json.loads(frame.removeprefix("data: "))
    NativeErrorBody.model_validate(body, strict=True)
    assert body["error"] == {
        "code": 503,
        "message": "gone",
        "type": "unavailable_error",
        "param": None,
    }
