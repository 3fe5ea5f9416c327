"""DRY samplers are made once for each set of values, and every copy starts without history."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.decode.sampling import Stage, stages
from app.engine.llama import Model
from app.engine.llama.bindings import lib
from app.engine.llama.dry import DryPrototypes
from app.protocol import SamplingParams


def dry_stage(base: float) -> Stage:
    params = SamplingParams(dry_multiplier=1.0, dry_base=base)
    return next(stage for stage in stages(params) if stage.name == "dry")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The bases of the samplers that llama.cpp was asked to make."""
    bases: list[float] = []
    init = lib.llama_sampler_init_dry

    def count(vocab: Any, multiplier: float, base: float, *rest: Any) -> Any:
        bases.append(base)
        return init(vocab, multiplier, base, *rest)

    monkeypatch.setattr(lib, "llama_sampler_init_dry", count)
    return bases


def copied(prototypes: DryPrototypes, *bases: float) -> None:
    for base in bases:
        lib.llama_sampler_free(prototypes.copy(dry_stage(base)))


def test_the_second_request_for_a_sampler_gets_a_copy(model: Model, made: list[float]) -> None:
    copied(DryPrototypes(model._vocab), 1.5, 1.5, 1.5)
    assert made == [1.5]


def test_the_least_recently_used_of_five_is_made_again(model: Model, made: list[float]) -> None:
    prototypes = DryPrototypes(model._vocab)
    copied(prototypes, 1.5, 1.6, 1.7, 1.8)
    copied(prototypes, 1.5, 1.9)  # 1.6 makes room
    copied(prototypes, 1.5, 1.6)
    assert made == [1.5, 1.6, 1.7, 1.8, 1.9, 1.6]


def test_what_was_forgotten_is_made_again(model: Model, made: list[float]) -> None:
    prototypes = DryPrototypes(model._vocab)
    copied(prototypes, 1.5)
    prototypes.forget()
    copied(prototypes, 1.5)
    assert made == [1.5, 1.5]


def test_a_breaker_given_twice_counts_once(model: Model) -> None:
    params = SamplingParams(dry_multiplier=1.0, dry_sequence_breakers=["\n", "\n", "¡"])
    stage = next(stage for stage in stages(params) if stage.name == "dry")
    lib.llama_sampler_free(DryPrototypes(model._vocab).copy(stage))
