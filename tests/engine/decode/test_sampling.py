"""Which samplers a request needs, in llama.cpp's order, and that llama.cpp takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import msgspec
import pytest

from app.engine.decode.sampling import Stage, history_length, stages
from app.engine.llama import Model, Sampler
from app.protocol import LoadParams, SamplingParams

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
    top_n_sigma=1.5,
    xtc_probability=0.3,
    xtc_threshold=0.2,
    dry_multiplier=0.8,
    dry_base=1.5,
    dry_allowed_length=3,
    dry_penalty_last_n=48,
    dry_sequence_breakers=["\n", "¡"],
    dynatemp_range=0.4,
    dynatemp_exponent=1.2,
    ignore_eos=True,
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
        Stage("ignore_eos"),
        Stage("penalties", (32, 1.1, 0.25, 0.5)),
        Stage("dry", (0.8, 1.5, 3, 48), texts=("\n", "¡")),
        Stage("top_n_sigma", (1.5,)),
        Stage("top_k", (20,)),
        Stage("typical", (0.8, 1)),
        Stage("top_p", (0.9, 1)),
        Stage("min_p", (0.1, 1)),
        Stage("xtc", (0.3, 0.2, 1, 11)),
        Stage("temp_ext", (0.7, 0.4, 1.2)),
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
        ({"top_n_sigma": 1.0}, ["top_n_sigma", "temp", "dist"]),
        ({"top_n_sigma": 0.0}, ["temp", "dist"]),
        ({"xtc_probability": 0.1}, ["xtc", "temp", "dist"]),
        ({"xtc_probability": 0.1, "xtc_threshold": 0.6}, ["temp", "dist"]),
        ({"dry_multiplier": 0.5}, ["dry", "temp", "dist"]),
        ({"dry_multiplier": 0.5, "dry_penalty_last_n": 0}, ["temp", "dist"]),
        ({"dynatemp_range": 0.5}, ["temp_ext", "dist"]),
        ({"ignore_eos": True}, ["ignore_eos", "temp", "dist"]),
        ({"mirostat": 1}, ["temp", "mirostat"]),
        ({"mirostat": 2}, ["temp", "mirostat_v2"]),
    ],
)
def test_each_sampler_is_there_when_its_value_asks_for_it(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert [stage.name for stage in chain(**changes)] == expected


def test_temperature_zero_takes_the_best_token_after_bias_and_penalties() -> None:
    greedy = msgspec.structs.replace(FULL, temperature=0.0)
    assert names(greedy) == ["logit_bias", "ignore_eos", "penalties", "dry", "greedy"]
    assert chain(temperature=0.0) == [Stage("greedy")]


def test_penalties_that_look_at_no_token_are_left_out() -> None:
    assert (
        history_length(msgspec.structs.replace(FULL, repeat_last_n=0, dry_penalty_last_n=16)) == 16
    )
    assert "penalties" not in names(msgspec.structs.replace(FULL, repeat_last_n=0))


def test_a_seed_is_used_as_it_is_and_none_is_llama_cpps_random_one() -> None:
    assert chain(seed=0)[-1] == Stage("dist", (0,))
    assert chain(seed=None)[-1] == Stage("dist", (lib.LLAMA_DEFAULT_SEED,))


def test_penalties_and_dry_see_as_many_tokens_as_the_longer_of_them_wants() -> None:
    assert history_length(FULL) == 48
    assert history_length(msgspec.structs.replace(FULL, repeat_last_n=100)) == 100
    assert history_length(msgspec.structs.replace(FULL, dry_multiplier=0.0)) == 32
    assert history_length(BARE) == 0


def test_mirostat_takes_the_place_of_all_but_bias_and_temperature() -> None:
    params = msgspec.structs.replace(FULL, mirostat=1, mirostat_tau=4.0, mirostat_eta=0.2)
    assert names(params) == ["logit_bias", "ignore_eos", "temp", "mirostat"]
    assert stages(params)[-1] == Stage("mirostat", (11, 4.0, 0.2, 100))
    assert history_length(params) == 0
    second = stages(msgspec.structs.replace(params, mirostat=2))
    assert second[-1] == Stage("mirostat_v2", (11, 4.0, 0.2))
    assert names(msgspec.structs.replace(params, temperature=0.0))[-1] == "greedy"


# ---------------------------------------------------------------- in llama.cpp


@pytest.fixture(scope="module")
def model() -> Model:
    path = Path(__file__).parents[3] / "models" / "distiller-nano-3m-q8_0.gguf"
    return Model(path, LoadParams(n_ctx=256), lambda _: None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "logit-bias logit-bias penalties dry top-n-sigma top-k typical top-p min-p xtc "
            "temp-ext dist",
        ),
        ({"temperature": 0.0}, "logit-bias logit-bias penalties dry greedy"),
        ({"mirostat": 1}, "logit-bias logit-bias temp mirostat"),
        ({"mirostat": 2}, "logit-bias logit-bias temp mirostat-v2"),
    ],
)
def test_llama_cpp_builds_the_chain(model: Model, changes: dict[str, Any], expected: str) -> None:
    sampler = Sampler(stages(msgspec.structs.replace(FULL, **changes)), model)
    assert sampler.names == expected.split()
    sampler.accept([1, 2, 3])
    sampler.close()


def test_a_dry_sampler_is_made_once_and_copied(model: Model) -> None:
    for base in (1.5, 1.5, 1.6, 1.7, 1.8, 1.9, 1.5):
        params = msgspec.structs.replace(BARE, temperature=0.5, dry_multiplier=0.8, dry_base=base)
        sampler = Sampler(stages(params), model)
        assert sampler.names == ["dry", "temp", "dist"]
        sampler.accept([1, 2, 3])
        sampler.close()


def test_a_copy_of_a_dry_sampler_outlives_what_it_was_copied_from(model: Model) -> None:
    params = msgspec.structs.replace(BARE, temperature=0.5, dry_multiplier=0.8)
    sampler = Sampler(stages(params), model)
    model.dry.forget()
    sampler.accept([1, 2, 3])
    sampler.close()
    Sampler(stages(params), model).close()


def test_the_tokens_that_end_an_answer_are_found(model: Model) -> None:
    assert model.end_tokens
    assert all(map(model.is_end, model.end_tokens))
