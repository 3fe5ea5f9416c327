"""A native completion becomes one command for each prompt, or names the field at fault."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from app.api.defaults import Defaults
from app.api.dialects.llama_completion.reader import read, read_infill
from app.errors import InvalidRequest, NotSupported
from app.protocol import ExtraText, Generate, Infill, RawPrompt, SamplingParams
from tests.api.requests import served


def commands(**fields: Any) -> list[Generate]:
    defaults = Defaults(sampling=SamplingParams(seed=3), max_tokens=500)
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
    assert prompts([1, 2]) == [RawPrompt(tokens=[1, 2])]
    assert prompts(["a", [1, 2], {"prompt_string": "b"}]) == [
        RawPrompt(text="a"),
        RawPrompt(tokens=[1, 2]),
        RawPrompt(text="b"),
    ]
    assert prompts({"prompt_string": "c", "multimodal_data": []}) == [RawPrompt(text="c")]


def test_what_is_left_out_is_as_in_the_settings() -> None:
    (command,) = commands()
    assert command.max_tokens == 500
    assert command.n == 1
    assert command.n_logprobs is None
    assert not command.report_tokens


@pytest.mark.parametrize(("n_predict", "limit"), [(0, 0), (7, 7), (-1, None)])
def test_n_predict_bounds_an_answer(n_predict: int, limit: int | None) -> None:
    (command,) = commands(n_predict=n_predict)
    assert command.max_tokens == limit


def test_biases_come_in_pairs_too() -> None:
    pairs = [[3, 1.5], [4, -2], [5, False]]
    (command,) = commands(logit_bias=pairs)
    assert command.sampling.logit_bias == {3: 1.5, 4: -2.0, 5: -100.0}
    assert commands(logit_bias={"3": 1})[0].sampling.logit_bias == {3: 1.0}


@pytest.mark.parametrize("seed", [-1, 2**32 - 1])
def test_the_default_seed_is_a_random_one(seed: int) -> None:
    assert commands(seed=seed)[0].sampling.seed is None


def test_what_is_to_be_reported_reaches_the_engine() -> None:
    (command,) = commands(n_probs=5, return_tokens=True, n_cmpl=3)
    assert (command.n_logprobs, command.report_tokens, command.n) == (5, True, 3)
    (command,) = commands(n_probs=0, return_progress=True)
    assert (command.n_logprobs, command.report_progress) == (None, False)
    (command,) = commands(stream=True, return_progress=True)
    assert (command.report_tokens, command.report_progress) == (True, True)


def test_fields_of_llama_server_without_effect_are_accepted() -> None:
    (command,) = commands(
        cache_prompt=False,
        id_slot=2,
        samplers=["top_k", "temperature"],
        n_keep=4,
        min_keep=1,
        t_max_predict_ms=100,
        n_indent=2,
        response_fields=["content"],
        timings_per_token=True,
        lora=[],
    )
    assert command.prompt == RawPrompt(text="Hi")


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": 5}),
    ("prompt", {"prompt": []}),
    ("prompt", {"prompt": {}}),
    ("prompt", {"prompt": [{"prompt_string": 5}]}),
    ("prompt", {"prompt": [12, "a"]}),
    ("prompt", {"prompt": [100]}),
    ("prompt", {"prompt": {"prompt_string": "a", "multimodal_data": ["aGk="]}}),
    ("prompt", {"prompt": ["a"] * 65}),
    ("n_predict", {"n_predict": -2}),
    ("n_predict", {"n_predict": "5"}),
    ("n_probs", {"n_probs": 21}),
    ("n_cmpl", {"n_cmpl": 17}),
    ("n_cmpl", {"n_cmpl": 2, "prompt": ["a"] * 33}),
    ("n", {"n": 2, "prompt": ["a"] * 33}),
    ("id_slot", {"id_slot": -2}),
    ("samplers", {"samplers": 5}),
    ("response_fields", {"response_fields": "content"}),
    ("logit_bias", {"logit_bias": [["a", 1]]}),
    ("logit_bias", {"logit_bias": [[1]]}),
    ("logit_bias", {"logit_bias": [[True, 1]]}),
    ("logit_bias", {"logit_bias": [[1, True]]}),
    ("logit_bias", {"logit_bias": [[100, 1]]}),
    ("seed", {"seed": -2}),
    ("stop", {"stop": [""]}),
    ("grammar", {"json_schema": {}, "grammar": "a"}),
]


@pytest.mark.parametrize(("field", "fields"), REFUSED)
def test_a_wrong_field_is_named(field: str, fields: dict[str, Any]) -> None:
    assert (refusal(**fields).param or "").partition("[")[0].partition(".")[0] == field


def test_a_prompt_is_required() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(b"{}", {})
    assert refused.value.param == "prompt"


# ---------------------------------------------------------------- infill


def infill(**fields: Any) -> Generate:
    body = {"input_prefix": "ab", "input_suffix": "yz", **fields}
    ask = read_infill(json.dumps(body).encode(), {})
    model = served(Defaults(sampling=SamplingParams()))
    model = dataclasses.replace(model, info=msgspec.structs.replace(model.info, can_infill=True))
    (command,) = ask.commands(model)
    return command


def test_a_text_to_be_filled_in_is_one_prompt_with_all_that_belongs_to_it() -> None:
    extra = [{"text": "one", "filename": "a.py", "time": 5}, {"text": "two"}]
    command = infill(prompt="c", input_extra=extra, n_predict=7)
    assert command.prompt == RawPrompt(
        infill=Infill(
            prefix="ab",
            suffix="yz",
            middle="c",
            extra=[ExtraText(text="one", filename="a.py"), ExtraText(text="two")],
            n_answer=7,
        )
    )
    assert command.max_tokens == 7


def test_what_llama_vim_sends_is_read_and_no_tokens_warm_the_cache() -> None:
    command = infill(
        prompt="",
        input_extra=[],
        id_slot=0,
        n_predict=0,
        n_indent=4,
        top_k=40,
        top_p=0.9,
        samplers=[],
        cache_prompt=True,
        t_max_prompt_ms=1,
        t_max_predict_ms=1,
        stream=False,
        response_fields=["content"],
    )
    assert command.max_tokens == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_prefix": None}, "input_prefix"),
        ({"input_suffix": 5}, "input_suffix"),
        ({"prompt": [1]}, "prompt"),
        ({"input_extra": "a.py"}, "input_extra"),
        ({"input_extra": [{"filename": "a.py"}]}, "input_extra[0].text"),
        ({"input_extra": [{"text": "a", "filename": 5}]}, "input_extra[0].filename"),
        ({"n_predict": "7"}, "n_predict"),
    ],
)
def test_a_wrong_field_of_an_infill_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        infill(**fields)
    assert refused.value.param == param


def test_a_model_without_tokens_for_it_cannot_fill_in() -> None:
    ask = read_infill(b'{"input_prefix": "a", "input_suffix": "b"}', {})
    with pytest.raises(NotSupported, match="not supported by this model"):
        ask.commands(served(Defaults(sampling=SamplingParams())))
