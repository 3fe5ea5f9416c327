"""Owns the table of when a changed setting takes effect, and the difference between two settings.

It must not know how a change is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.config.settings import Settings, setting_names
from app.config.sources import describe
from app.protocol import LoadParams, QueueParams, SamplingParams

TakesEffect = Literal["now", "next load", "next start"]

_NOW = {
    "log_level",
    "log_format",
    "api_keys",
    "api_keys_file",
    "allow_unauthenticated",
    "allowed_hosts",
    "cors_origins",
    "max_connections",
    "max_client_requests",
    "max_header_bytes",
    "max_body_bytes",  # for connections that are made from now on, like the next two
    "request_timeout_s",
    "keep_alive_s",
    "sse_ping_s",
    "drain_timeout_s",
    "stop_timeout_s",
    "max_tokens",
    "reasoning_format",
    "reasoning_budget",
    "speculation",
    *SamplingParams.__struct_fields__,
}
_NEXT_LOAD = {
    "model_name",  # and at once where no model serves
    "profiles",
    "load_timeout_s",
    "engine_timeout_s",
    *set(LoadParams.__struct_fields__) - {"seed"},  # the setting is the requests' default
    *QueueParams.__struct_fields__,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that got another value; both are written as in the configuration file."""

    name: str
    before: str
    after: str
    takes_effect: TakesEffect


def takes_effect(name: str) -> TakesEffect:
    """Return when a change of this setting counts: a new start is needed where nothing else is."""
    if name in _NEXT_LOAD:
        return "next load"
    return "now" if name in _NOW else "next start"


def changes(before: Settings, after: Settings) -> list[Change]:
    """Return what differs; secrets are masked."""
    written = zip(describe(before), describe(after), strict=True)
    return [
        Change(name, old, new, takes_effect(name))
        for (name, old, _), (_, new, _) in written
        if getattr(before, name) != getattr(after, name)
    ]


def live_part(before: Settings, after: Settings) -> Settings:
    """Return `before` with everything of `after` that needs no new start."""
    update = {
        name: getattr(after, name) for name in setting_names() if takes_effect(name) != "next start"
    }
    return before.model_copy(update=update)
