"""Owns planning a load: merged parameters, and a context clamped to the memory.

It reads the file's header and the free memory, and starts nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.errors import LoadParamsRefused, ModelLoadFailed, ModelTooLarge
from app.host import memory_estimate
from app.models.catalog import Catalog, ModelFile
from app.models.facts import ModelFacts
from app.models.gguf import GgufError
from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    SettingsFileError,
    read_settings,
)
from app.protocol import LoadParams

_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A planned load.

    Args:
        file: the model.
        requested: the requested parameters.
        params: the effective parameters.
        reason: why the context differs from the requested one; None if it does not.
        needed_bytes: the expected memory.
        mapped_bytes: the mapped file's share of it, which the kernel counts as available although
            an engine reads it for every token.
        fits_beside: whether it fits while the former model stays loaded.
        settings: those beside the file.
    """

    file: ModelFile
    requested: LoadParams
    params: LoadParams
    reason: str | None
    needed_bytes: int
    mapped_bytes: int
    fits_beside: bool
    settings: ModelSettings = NO_SETTINGS

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each changed parameter."""
        return (f"n_ctx is {self.params.n_ctx}: {self.reason}",) if self.reason else ()

    def same_as(self, other: LoadPlan) -> bool:
        """Whether loading `other` after this plan would change nothing."""
        mine = (self.file, self.requested, self.settings)
        return mine == (other.file, other.requested, other.settings)


async def plan_load(
    catalog: Catalog,
    file: ModelFile,
    defaults: LoadParams,
    overrides: Mapping[str, Any],
    *,
    before: LoadPlan | None = None,
    n_seq_max: int = memory_estimate.DEFAULT_N_SEQ_MAX,
) -> LoadPlan:
    """Return how `file` will be loaded.

    Args:
        defaults: those of the service; the settings beside the file override them.
        overrides: load parameters that override both, and `fit`: "strict" rejects a context that
            does not fit, else it is lowered.
        before: the plan of the model that serves now.
        n_seq_max: sequences in the KV cache.

    Raises:
        ModelLoadFailed: the file is not a valid GGUF file, or no model that can serve, or the
            settings beside it are invalid.
        ModelTooLarge: it does not fit into memory even with the shortest context.
        LoadParamsRefused: the context is too large and `fit` is "strict".
    """
    named = dict(overrides)
    is_strict = named.pop("fit", "auto") == "strict"
    settings = await asyncio.to_thread(_settings, file)
    requested = msgspec.structs.replace(defaults, **(settings.load_params | named))
    plan = await asyncio.to_thread(_plan, catalog, file, requested, before, n_seq_max)
    if is_strict and plan.reason:
        why = f"n_ctx can be at most {plan.params.n_ctx}: {plan.reason}"
        raise LoadParamsRefused(why, param="load_model_configs.n_ctx")
    return replace(plan, settings=settings)


def _settings(file: ModelFile) -> ModelSettings:
    try:
        return read_settings(file.path)
    except SettingsFileError as error:
        raise ModelLoadFailed(f"The settings of {file.name} are invalid: {error}") from error


def _plan(
    catalog: Catalog,
    file: ModelFile,
    requested: LoadParams,
    before: LoadPlan | None,
    n_seq_max: int,
) -> LoadPlan:
    try:
        kind = catalog.kind(file)
        if kind.refusal and kind.is_certain:
            raise ModelLoadFailed(f"{file.name} is {kind.refusal}", param="model")
        facts = catalog.facts(file)
    except (GgufError, OSError) as error:
        raise ModelLoadFailed(f"{file.name} is not a valid GGUF file: {error}") from error
    free = memory_estimate.available_bytes()
    mapped = before.mapped_bytes if before else 0
    plan = _fitted(facts, file, requested, _UNLIMITED, n_seq_max)
    if plan.needed_bytes <= free - mapped:
        return plan
    available = free + (before.needed_bytes - mapped if before else 0)
    plan = _fitted(facts, file, requested, available, n_seq_max)
    needed = memory_estimate.estimate(facts, file.size_bytes, plan.params, n_seq_max)
    if needed.bare_bytes > available and not requested.n_gpu_layers:  # a GPU has its own memory
        why = memory_estimate.shortage(needed, plan.params.n_ctx, available)
        raise ModelTooLarge(f"{file.name} does not fit: {why}", param="model")
    return replace(plan, fits_beside=False)


def _fitted(
    facts: ModelFacts, file: ModelFile, requested: LoadParams, available: int, n_seq_max: int
) -> LoadPlan:
    """Clamp the context to the model's training and to `available` bytes."""
    n_ctx, reason = memory_estimate.clamp_n_ctx(
        requested.n_ctx, facts, file.size_bytes, requested, available, n_seq_max
    )
    params = msgspec.structs.replace(requested, n_ctx=n_ctx)
    estimate = memory_estimate.estimate(facts, file.size_bytes, params, n_seq_max)
    return LoadPlan(
        file=file,
        requested=requested,
        params=params,
        reason=reason,
        needed_bytes=estimate.total_bytes,
        mapped_bytes=estimate.weights_bytes if params.use_mmap else 0,
        fits_beside=True,
    )
