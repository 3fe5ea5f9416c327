"""A request for completions becomes one command for each prompt, or names the field at fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.defaults import Defaults
from app.api.dialects.completions.reader import read
from app.errors import InvalidRequest
from app.protocol import Generate, RawPrompt, SamplingParams
from tests.api.requests import served


def commands(**fields: Any) -> list[Generate]:
    defaults = Defaults(sampling=SamplingParams(temperature=0.3), max_tokens=500)
    ask = read(json.dumps({"prompt": "Hi", **fields}).encode(), {})
    return list(ask.commands(served(defaults)))


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        commands(**fields)
    error = refused.value
    assert error.message.startswith(f"{error.param}: ")
    return error


def prompts(prompt: Any) -> list[RawPrompt | None]:
    return [command.prompt for command in commands(prompt=prompt)]


def test_every_form_of_a_prompt_is_read() -> None:
    assert prompts("Once") == [RawPrompt(text="Once")]
    assert prompts(["a", "b"]) == [RawPrompt(text="a"), RawPrompt(text="b")]
    assert prompts([1, 2]) == [RawPrompt(tokens=[1, 2])]
    assert prompts([[1], [2, 3]]) == [RawPrompt(tokens=[1]), RawPrompt(tokens=[2, 3])]
    assert prompts(["a", [1]]) == [RawPrompt(text="a"), RawPrompt(tokens=[1])]
    assert prompts(None) == [RawPrompt(text="")]


def test_each_prompt_is_a_request_of_its_own() -> None:
    several = commands(prompt=["a", "b"])
    assert len({command.request_id for command in several}) == 2
    assert all(command.request_id.startswith("cmpl-") for command in several)


def test_what_is_left_out_is_as_at_openai_or_in_the_settings() -> None:
    (command,) = commands()
    assert command.max_tokens == 16
    assert command.n == 1
    assert command.sampling.temperature == 0.3
    assert not command.echo
    assert command.n_logprobs is None
    assert command.prompt_logprobs is None


@pytest.mark.parametrize(("given", "limit"), [(0, 0), (7, 7), (-1, None)])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n_predict"])
def test_an_answer_may_be_empty_or_unlimited(field: str, given: int, limit: int | None) -> None:
    (command,) = commands(**{field: given})
    assert command.max_tokens == limit


def test_samplers_and_constraints_reach_the_engine() -> None:
    (command,) = commands(min_p=0.2, logit_bias={"3": -100}, stop="\n", regex="a+", seed=5)
    assert command.sampling.min_p == 0.2
    assert command.sampling.logit_bias == {3: -100}
    assert command.sampling.seed == 5
    assert command.stop == ["\n"]
    assert command.constraint
    assert command.constraint.kind == "regex"


def test_a_suffix_goes_with_each_prompt_unless_it_is_empty() -> None:
    assert [c.prompt and c.prompt.suffix for c in commands(prompt=["a", "b"], suffix="z")] == [
        "z",
        "z",
    ]
    assert commands(suffix="")[0].prompt == RawPrompt(text="Hi")


def test_logprobs_of_the_prompt_only_with_echo() -> None:
    (command,) = commands(echo=True, logprobs=3)
    assert (command.echo, command.n_logprobs, command.prompt_logprobs) == (True, 3, 3)
    (command,) = commands(logprobs=0)
    assert (command.echo, command.n_logprobs, command.prompt_logprobs) == (False, 0, None)


def test_more_answers_than_asked_for_are_ranked_by_their_logprobs() -> None:
    (command,) = commands(n=2, best_of=4)
    assert (command.n, command.n_logprobs) == (4, 0)
    (command,) = commands(n=2, best_of=2)
    assert (command.n, command.n_logprobs) == (2, None)


def test_null_is_left_out() -> None:
    names = ("suffix", "n", "best_of", "echo", "logprobs", "stop", "max_tokens", "stream", "user")
    (command,) = commands(**dict.fromkeys(names))
    assert command.max_tokens == 16


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": 5}),
    ("prompt", {"prompt": {"text": "a"}}),
    ("prompt", {"prompt": []}),
    ("prompt", {"prompt": [1, "a"]}),
    ("prompt", {"prompt": ["a", 1]}),
    ("prompt", {"prompt": [[1], []]}),
    ("prompt", {"prompt": [True]}),
    ("prompt", {"prompt": [1.5]}),
    ("prompt", {"prompt": [-1]}),
    ("prompt", {"prompt": [100]}),
    ("prompt", {"prompt": ["a"] * 65}),
    ("prompt", {"prompt": "a" * 1_000_001}),
    ("suffix", {"suffix": 5}),
    ("suffix", {"suffix": "a" * 1_000_001}),
    ("max_tokens", {"max_tokens": -2}),
    ("n", {"n": 0}),
    ("n", {"n": 17}),
    ("n", {"n": 2, "prompt": ["a"] * 33}),
    ("best_of", {"n": 3, "best_of": 2}),
    ("best_of", {"best_of": 17}),
    ("best_of", {"best_of": 2, "stream": True}),
    ("best_of", {"best_of": 16, "prompt": ["a"] * 5}),
    ("echo", {"echo": "yes"}),
    ("echo", {"echo": True, "suffix": "z"}),
    ("logprobs", {"logprobs": 6}),
    ("logprobs", {"logprobs": -1}),
    ("logprobs", {"logprobs": True}),
    ("stop", {"stop": ["x"] * 17}),
    ("stream", {"stream": 1}),
    ("stream_options", {"stream_options": 1}),
    ("temperature", {"temperature": -1}),
    ("logit_bias", {"logit_bias": {"100": 1}}),
    ("model", {"model": ""}),
    ("regex", {"grammar": "a", "regex": "a"}),
]


@pytest.mark.parametrize(("field", "fields"), REFUSED)
def test_a_wrong_field_is_named(field: str, fields: dict[str, Any]) -> None:
    assert (refusal(**fields).param or "").partition("[")[0] == field


def test_a_prompt_is_required() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(b"{}", {})
    assert refused.value.param == "prompt"


def test_best_of_as_many_as_n_may_be_streamed() -> None:
    (command,) = commands(n=2, best_of=2, stream=True)
    assert command.n == 2
