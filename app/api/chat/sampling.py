"""Owns reading the sampling parameters of a request, for every dialect; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel

from app.api.dialect import ServedModel
from app.api.schemas.sampling import InferenceConfigs
from app.errors import InvalidRequest
from app.parameters.names import canonical
from app.protocol import SamplingParams

_NO_LIMIT = _RANDOM = _WHOLE_CONTEXT = -1
_TOKEN_ID = re.compile(r"[0-9]{1,9}")
_SEED_MASK = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """The sampling parameters and stop conditions of a request.

    Args:
        max_tokens: None is no limit.
    """

    sampling: SamplingParams
    max_tokens: int | None
    stop: list[str]


def read_sampling(model: ServedModel, *sources: BaseModel | None) -> SamplingRequest:
    """Return the sampling parameters of a request; missing ones have the model's defaults.

    Args:
        model: its context and vocabulary bound some values.
        sources: each has some of the fields of `SamplingFields`; the later ones win.

    Raises:
        InvalidRequest: a value is invalid for the loaded model.
    """
    given = _given(sources)
    stop = given.pop("stop", model.defaults.stop)
    limit = given.pop("max_tokens", model.defaults.max_tokens)
    if "logit_bias" in given:
        given["logit_bias"] = _logit_bias(given["logit_bias"], model.info.n_vocab)
    sampling = msgspec.structs.replace(model.defaults.sampling, **given)
    return SamplingRequest(
        sampling=_resolved(sampling, model.info.n_ctx),
        max_tokens=None if limit == _NO_LIMIT else limit,
        stop=[stop] if isinstance(stop, str) else list(stop or ()),
    )


def _given(sources: tuple[BaseModel | None, ...]) -> dict[str, Any]:
    wanted = set(InferenceConfigs.model_fields)
    values: dict[str, Any] = {}
    for source in sources:
        if source is None:
            continue
        values.update(canonical(source.model_dump(include=wanted, exclude_none=True)))
    return values


def _logit_bias(given: Mapping[str, float], n_vocab: int) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, bias in given.items():
        if not _TOKEN_ID.fullmatch(key) or int(key) >= n_vocab:
            raise InvalidRequest(
                f"logit_bias: '{key}' is not a token id; ids range from 0 to {n_vocab - 1}",
                param="logit_bias",
            )
        biases[int(key)] = bias
    return biases


def _resolved(sampling: SamplingParams, n_ctx: int) -> SamplingParams:
    """Return the values with llama-server's -1 resolved for each of them."""
    seed, repeats, dry = sampling.seed, sampling.repeat_last_n, sampling.dry_penalty_last_n
    return msgspec.structs.replace(
        sampling,
        seed=None if seed in (None, _RANDOM) else _fold_seed(seed),
        repeat_last_n=n_ctx if repeats == _WHOLE_CONTEXT else repeats,
        dry_penalty_last_n=n_ctx if dry == _WHOLE_CONTEXT else dry,
    )


def _fold_seed(seed: int) -> int:
    """Return a seed for llama.cpp: 31 bits, as the highest value means a random one there."""
    return (seed ^ (seed >> 31)) & _SEED_MASK
