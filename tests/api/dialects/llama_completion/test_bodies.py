"""The objects inside a native completion have llama-server's fields and values."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.llama_completion.bodies import (
    end_body,
    native_timings_body,
    probabilities_body,
    selected,
    settings_body,
)
from app.protocol import (
    Constraint,
    Finished,
    Generate,
    SamplingParams,
    Timings,
    TokenChance,
    TokenLogprob,
    Usage,
)


def command(sampling: SamplingParams | None = None, **fields: Any) -> Generate:
    return Generate(request_id="r", sampling=sampling or SamplingParams(), **fields)


def timings(**fields: Any) -> Timings:
    told = {"queue_ms": 0.0, "ttft_ms": 0.0, "cache_n": 0, "prompt_n": 0, "prompt_ms": 0.0}
    return Timings(**{**told, "predicted_n": 0, "predicted_ms": 0.0, **fields})


def finished(reason: str, n_generated: int = 5, stop_string: str | None = None) -> Finished:
    usage = Usage(prompt_tokens=4, cached_tokens=0, completion_tokens=n_generated)
    return Finished(
        request_id="r", reason=reason, usage=usage, timings=timings(), stop_string=stop_string
    )


# ---------------------------------------------------------------- generation_settings


def settings(asked: Generate) -> dict[str, Any]:
    return settings_body(asked, n_ctx=512, stream=False)


def test_settings_write_values_that_are_not_set_as_llama_server_does() -> None:
    found = settings(command())
    assert (found["n_predict"], found["max_tokens"]) == (-1, -1)
    assert found["seed"] == 2**32 - 1
    assert (found["n_probs"], found["grammar"], found["logit_bias"]) == (0, "", [])
    assert (found["n_ctx"], found["stream"]) == (512, False)


def test_settings_are_those_of_the_command() -> None:
    asked = command(
        SamplingParams(temperature=0.5, seed=7, logit_bias={3: -1.5}),
        max_tokens=9,
        stop=["."],
        n_logprobs=2,
    )
    found = settings(asked)
    assert (found["temperature"], found["seed"], found["n_predict"]) == (0.5, 7, 9)
    assert found["logit_bias"] == [{"token": 3, "bias": -1.5}]
    assert (found["stop"], found["n_probs"]) == (["."], 2)


@pytest.mark.parametrize(("kind", "grammar"), [("grammar", "start: /a/"), ("regex", "")])
def test_settings_contain_a_grammar_and_no_other_constraint(kind: Any, grammar: str) -> None:
    constraint = Constraint(kind=kind, text="start: /a/", param="x")
    assert settings(command(constraint=constraint))["grammar"] == grammar


def test_mirostat_replaces_all_other_samplers() -> None:
    assert settings(command(SamplingParams(mirostat=2)))["samplers"] == ["mirostat"]
    samplers = settings(command())["samplers"]
    assert (samplers[0], samplers[-1]) == ("penalties", "temperature")


# ---------------------------------------------------------------- the end of an answer


@pytest.mark.parametrize(
    ("end", "limit", "body"),
    [
        (finished("stop"), 8, (False, "eos", "")),
        (finished("stop", stop_string="\n"), 8, (False, "word", "\n")),
        (finished("length", 8), 8, (False, "limit", "")),
        (finished("length", 5), 8, (True, "limit", "")),
        (finished("length", 5), None, (True, "limit", "")),
    ],
)
def test_an_answer_is_truncated_where_the_context_ended_before_its_limit(
    end: Finished, limit: int | None, body: tuple[bool, str, str]
) -> None:
    found = end_body(end, command(max_tokens=limit))
    assert (found["truncated"], found["stop_type"], found["stopping_word"]) == body


# ---------------------------------------------------------------- timings and probabilities


def test_timings_have_the_time_of_each_token() -> None:
    found = native_timings_body(
        timings(prompt_n=4, prompt_ms=10.0, predicted_n=3, predicted_ms=1.0)
    )
    assert (found["prompt_per_token_ms"], found["predicted_per_token_ms"]) == (2.5, 0.333)
    assert found["prompt_n"] == 4


def test_no_tokens_have_no_time_each() -> None:
    found = native_timings_body(timings())
    assert (found["prompt_per_token_ms"], found["predicted_per_token_ms"]) == (None, None)


def test_probabilities_have_bytes_where_a_token_is_no_text() -> None:
    likely = TokenChance(id=4, piece=b"a", logprob=-0.1)
    (found,) = probabilities_body([TokenLogprob(id=5, piece=b"\xc3", logprob=-2.0, top=[likely])])
    assert (found["id"], found["token"], found["bytes"]) == (5, "\ufffd", [0xC3])
    assert found["logprob"] == -2.0
    assert found["top_logprobs"] == [{"id": 4, "token": "a", "bytes": [97], "logprob": -0.1}]


# ---------------------------------------------------------------- response_fields

BODY = {"content": "Hi", "timings": {"prompt_n": 4, "cache_n": 1}, "prompt": None}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([], BODY),
        (["content"], {"content": "Hi"}),
        (["timings/prompt_n", "prompt"], {"timings/prompt_n": 4, "prompt": None}),
        (["timings"], {"timings": {"prompt_n": 4, "cache_n": 1}}),
        (["missing", "timings/missing", "content/prompt_n"], {}),
    ],
)
def test_only_the_selected_fields_are_returned(fields: list[str], found: dict[str, Any]) -> None:
    assert selected(BODY, fields) == found
