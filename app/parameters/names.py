"""Owns the names of the parameters and their aliases in requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.parameters.answer import AnswerParams, ReasoningDefaults
from app.parameters.answers import StoreParams
from app.parameters.cache import CacheParams
from app.parameters.load import LoadParams
from app.parameters.queue import QueueParams
from app.parameters.row import rows
from app.parameters.sampling import SamplingParams
from app.parameters.timeouts import Timeouts

STRUCTS: tuple[type[msgspec.Struct], ...] = (
    LoadParams,
    SamplingParams,
    ReasoningDefaults,
    AnswerParams,
    QueueParams,
    CacheParams,
    StoreParams,
    Timeouts,
)
ALIASES = {
    alias: row.name for struct in STRUCTS for row in rows(struct) for alias in row.details.aliases
}


def spellings(name: str) -> list[str]:
    """Return the names of a parameter in requests, the canonical one first."""
    return [name, *(alias for alias, own in ALIASES.items() if own == name)]


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by canonical name; an alias wins over the canonical name."""
    own = {name: value for name, value in values.items() if name not in ALIASES}
    return own | {ALIASES[name]: value for name, value in values.items() if name in ALIASES}
