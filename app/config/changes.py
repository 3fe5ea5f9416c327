"""Owns comparing two settings, and which changes apply without a restart.

Must not know how a change is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from app.config.settings import Settings, detail, setting_names
from app.config.sources import describe
from app.parameters.row import TakesEffect


@dataclass(frozen=True, slots=True)
class Change:
    """A changed setting; both values are in the syntax of the configuration file."""

    name: str
    before: str
    after: str
    takes_effect: TakesEffect


def takes_effect(name: str) -> TakesEffect:
    """Return when a change of this setting takes effect."""
    return cast(TakesEffect, detail(name, "takes_effect"))


def changes(before: Settings, after: Settings) -> list[Change]:
    """Return the differences; secrets are masked."""
    written = zip(describe(before), describe(after), strict=True)
    return [
        Change(name, old, new, takes_effect(name))
        for (name, old, _), (_, new, _) in written
        if getattr(before, name) != getattr(after, name)
    ]


def live_part(before: Settings, after: Settings) -> Settings:
    """Return `before` with the changes of `after` that do not need a restart."""
    update = {
        name: getattr(after, name) for name in setting_names() if takes_effect(name) != "next start"
    }
    return before.model_copy(update=update)
