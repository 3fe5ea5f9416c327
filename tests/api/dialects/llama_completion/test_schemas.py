"""A native completion takes llama-server's forms of a field and names the one that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.dialects.llama_completion.schemas import (
    NativeCompletionRequest,
    NativeCompletionResponse,
)
from app.errors import InvalidRequest
from app.web.json_body import parse


def read(**fields: Any) -> NativeCompletionRequest:
    body = json.dumps({"prompt": "Hi", **fields}).encode()
    return parse(body, NativeCompletionRequest)


def refused_param(**fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    return refused.value.param


@pytest.mark.parametrize(
    ("prompt", "read_as"),
    [
        ("Once", "Once"),
        ([1, 2], [1, 2]),
        ({"prompt_string": "Once"}, "Once"),
        ({"prompt_string": "Once", "multimodal_data": []}, "Once"),
        (["a", {"prompt_string": "b"}, [3]], ["a", "b", [3]]),
    ],
)
def test_a_prompt_may_be_an_object_with_its_text(prompt: Any, read_as: Any) -> None:
    assert read(prompt=prompt).prompt == read_as


@pytest.mark.parametrize(
    "prompt",
    [None, 5, {}, {"text": "Once"}, {"prompt_string": "Once", "multimodal_data": ["x"]}, [[]]],
)
def test_other_prompts_are_refused(prompt: Any) -> None:
    param = refused_param(prompt=prompt)
    assert param is not None
    assert param.partition("[")[0] == "prompt"


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ({"5": 1.5}, {"5": 1.5}),
        ([[5, 1.5], [6, -2]], {"5": 1.5, "6": -2}),
        ([[5, False]], {"5": -100}),
        ([], {}),
    ],
)
def test_logit_bias_may_be_a_list_of_pairs(given: Any, read_as: dict[str, float]) -> None:
    assert read(logit_bias=given).model_dump()["logit_bias"] == read_as


@pytest.mark.parametrize("pair", [[5], 5, [True, 1], ["5", 1], [5, True], [5, "x"], [5, 1, 2]])
def test_other_pairs_are_refused(pair: Any) -> None:
    param = refused_param(logit_bias=[pair])
    assert param is not None
    assert param.startswith("logit_bias")


@pytest.mark.parametrize(("given", "read_as"), [(2**32 - 1, -1), (-1, -1), (7, 7)])
def test_the_default_seed_of_llama_cpp_is_random(given: int, read_as: int) -> None:
    assert read(seed=given).model_dump()["seed"] == read_as


@pytest.mark.parametrize(
    ("fields", "n_answers"),
    [({}, 1), ({"n": 3}, 3), ({"n_cmpl": 2}, 2), ({"n_cmpl": 2, "n": 3}, 2)],
)
def test_n_cmpl_wins_over_n(fields: dict[str, Any], n_answers: int) -> None:
    assert read(**fields).n_answers == n_answers


@pytest.mark.parametrize("field", ["n", "n_cmpl"])
def test_all_prompts_together_have_a_limited_number_of_answers(field: str) -> None:
    assert read(prompt=["a"] * 4, **{field: 16}).n_answers == 16
    assert refused_param(prompt=["a"] * 5, **{field: 16}) == field


def test_several_answers_are_a_list_and_one_is_an_object() -> None:
    schema = NativeCompletionResponse.model_json_schema()
    assert [option.get("type", "object") for option in schema["anyOf"]] == ["object", "array"]
