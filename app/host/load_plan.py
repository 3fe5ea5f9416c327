"""Owns how a model will be loaded: parameters merged, context clamped to what fits.

Pure but for reading the file's header and the free memory; starts nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.catalog import Catalog, ModelFile
from app.errors import ModelLoadFailed
from app.gguf import GgufError
from app.host import fit
from app.model_facts import ModelFacts
from app.protocol import LoadParams

_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A load about to happen.

    Args:
        file: the model.
        requested: the parameters as asked for.
        params: the parameters as they will be used.
        notes: what was changed, a sentence each.
        needed_bytes: memory it is expected to take.
        mapped_bytes: the part of it that is the mapped file, which the kernel counts as
            available although an engine reads it for every token.
        fits_beside: whether there is memory for it while the former model stays.
    """

    file: ModelFile
    requested: LoadParams
    params: LoadParams
    notes: tuple[str, ...]
    needed_bytes: int
    mapped_bytes: int
    fits_beside: bool

    def same_as(self, other: LoadPlan) -> bool:
        """Whether loading `other` after this one would change nothing."""
        return self.file == other.file and self.requested == other.requested


async def plan_load(
    catalog: Catalog,
    file: ModelFile,
    defaults: LoadParams,
    overrides: Mapping[str, Any],
    *,
    before: LoadPlan | None = None,
) -> LoadPlan:
    """Return how `file` will be loaded.

    Args:
        before: the model that serves now and would stay or make room.

    Raises:
        ModelLoadFailed: the file is no GGUF file.
    """
    requested = msgspec.structs.replace(defaults, **overrides)
    return await asyncio.to_thread(_plan, catalog, file, requested, before)


def _plan(
    catalog: Catalog, file: ModelFile, requested: LoadParams, before: LoadPlan | None
) -> LoadPlan:
    try:
        facts = catalog.facts(file)
        catalog.check_parts(file)
    except (GgufError, OSError) as error:
        raise ModelLoadFailed(f"{file.name} is no readable GGUF file: {error}") from error
    free = fit.available_bytes()
    mapped = before.mapped_bytes if before else 0
    plan = _fitted(facts, file, requested, _UNLIMITED)
    if plan.needed_bytes <= free - mapped:
        return plan
    reclaimable = before.needed_bytes - mapped if before else 0
    return replace(_fitted(facts, file, requested, free + reclaimable), fits_beside=False)


def _fitted(facts: ModelFacts, file: ModelFile, requested: LoadParams, available: int) -> LoadPlan:
    """Clamp the context to the model's training and to `available` bytes."""
    n_ctx, reason = fit.clamp_n_ctx(requested.n_ctx, facts, file.size_bytes, requested, available)
    params = msgspec.structs.replace(requested, n_ctx=n_ctx)
    estimate = fit.estimate(facts, file.size_bytes, params)
    return LoadPlan(
        file=file,
        requested=requested,
        params=params,
        notes=(f"n_ctx is {n_ctx}: {reason}",) if reason else (),
        needed_bytes=estimate.total_bytes,
        mapped_bytes=estimate.weights_bytes if params.use_mmap else 0,
        fits_beside=True,
    )
