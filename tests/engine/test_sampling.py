"""Which samplers a request needs, in llama.cpp's order, and that llama.cpp takes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import llama_cpp.llama_cpp as lib
import msgspec
import pytest

from app.engine.llama import Model, Sampler
from app.engine.sampling import Stage, penalises, stages
from app.protocol import SamplingParams

# Every sampler that can be left out is.
BARE = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0)
FULL = SamplingParams(
    temperature=0.7,
    top_k=20,
    top_p=0.9,
    min_p=0.1,
    typical_p=0.8,
    repeat_penalty=1.1,
    repeat_last_n=32,
    frequency_penalty=0.25,
    presence_penalty=0.5,
    seed=11,
    logit_bias={7: -100.0, 3: 2.5},
)


def chain(**changes: Any) -> list[Stage]:
    return stages(msgspec.structs.replace(BARE, **changes))


def names(params: SamplingParams) -> list[str]:
    return [stage.name for stage in stages(params)]


def test_the_full_chain_has_llama_cpps_order_and_the_requests_values() -> None:
    assert stages(FULL) == [
        Stage("logit_bias", biases=((3, 2.5), (7, -100.0))),
        Stage("penalties", (32, 1.1, 0.25, 0.5)),
        Stage("top_k", (20,)),
        Stage("typical", (0.8, 1)),
        Stage("top_p", (0.9, 1)),
        Stage("min_p", (0.1, 1)),
        Stage("temp", (0.7,)),
        Stage("dist", (11,)),
    ]


def test_samplers_that_would_change_nothing_are_left_out() -> None:
    assert names(BARE) == ["temp", "dist"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"logit_bias": {1: 1.0}}, ["logit_bias", "temp", "dist"]),
        ({"repeat_penalty": 1.1}, ["penalties", "temp", "dist"]),
        ({"frequency_penalty": -0.1}, ["penalties", "temp", "dist"]),
        ({"presence_penalty": 0.1}, ["penalties", "temp", "dist"]),
        ({"top_k": 1}, ["top_k", "temp", "dist"]),
        ({"top_k": -1}, ["temp", "dist"]),
        ({"typical_p": 0.99}, ["typical", "temp", "dist"]),
        ({"top_p": 0.0}, ["top_p", "temp", "dist"]),
        ({"min_p": 0.01}, ["min_p", "temp", "dist"]),
    ],
)
def test_each_sampler_is_there_when_its_value_asks_for_it(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert [stage.name for stage in chain(**changes)] == expected


def test_temperature_zero_takes_the_best_token_after_bias_and_penalties() -> None:
    greedy = msgspec.structs.replace(FULL, temperature=0.0)
    assert names(greedy) == ["logit_bias", "penalties", "greedy"]
    assert chain(temperature=0.0) == [Stage("greedy")]


def test_penalties_that_look_at_no_token_are_left_out() -> None:
    assert not penalises(msgspec.structs.replace(FULL, repeat_last_n=0))
    assert "penalties" not in names(msgspec.structs.replace(FULL, repeat_last_n=0))


def test_a_seed_is_used_as_it_is_and_none_is_llama_cpps_random_one() -> None:
    assert chain(seed=0)[-1] == Stage("dist", (0,))
    assert chain(seed=None)[-1] == Stage("dist", (lib.LLAMA_DEFAULT_SEED,))


@pytest.mark.parametrize("params", [BARE, FULL, msgspec.structs.replace(FULL, temperature=0.0)])
def test_llama_cpp_builds_the_chain(params: SamplingParams) -> None:
    vocabulary = cast(Model, SimpleNamespace(n_vocab=100))
    sampler = Sampler(stages(params), vocabulary)
    sampler.accept([1, 2, 3])
    sampler.close()
