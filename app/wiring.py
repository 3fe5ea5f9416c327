"""Owns the way from settings to the plain values that the parts of the HTTP process take."""

from __future__ import annotations

import socket
from typing import Any

from sanic.config import Config

from app.api.defaults import Defaults
from app.config.settings import Settings
from app.protocol import CacheParams, LoadParams, QueueParams, ReasoningParams, SamplingParams
from app.web.access_control import AccessPolicy
from app.web.api_keys import ApiKeys

_NEVER_S = 10_000_000


def load_params(settings: Settings) -> LoadParams:
    """Return how a model is loaded where a request does not say otherwise.

    Only a request gives a load a seed: the setting is a default of requests, which a load's wins
    over (`answer_defaults`).
    """
    own = {"verbose": settings.verbose or settings.log_level == "debug", "seed": None}
    return LoadParams(**_pick(settings, LoadParams.__struct_fields__) | own)


def queue_params(settings: Settings) -> QueueParams:
    """Return how many requests an engine takes."""
    return QueueParams(**_pick(settings, QueueParams.__struct_fields__))


def answer_defaults(settings: Settings) -> Defaults:
    """Return what a chat request gets that does not say otherwise."""
    return Defaults(
        sampling=SamplingParams(**_pick(settings, SamplingParams.__struct_fields__)),
        max_tokens=settings.max_tokens,
        reasoning=ReasoningParams(
            is_split=settings.reasoning_format != "none", budget=settings.reasoning_budget
        ),
        speculate=settings.speculation,
    )


def cache_params(settings: Settings) -> CacheParams:
    """Return what engines are told of the disk tier."""
    return CacheParams(
        folder=str(settings.cache_dir) if settings.disk_cache_mb else "",
        capacity_mb=settings.disk_cache_mb,
        daily_write_mb=settings.disk_daily_write_mb,
        save_after_s=settings.disk_save_after_s,
    )


def access_policy(settings: Settings, keys: ApiKeys) -> AccessPolicy:
    """Return who is let in; the device's own name is one of the server's."""
    hostname = socket.gethostname().lower()
    own = {hostname, f"{hostname.partition('.')[0]}.local"}
    return AccessPolicy(
        keys=keys,
        allowed_hosts=frozenset(own.union(settings.allowed_hosts)),
        cors_origins=frozenset(settings.cors_origins),
        max_client_requests=settings.max_client_requests,
    )


def sanic_config(settings: Settings) -> Config:
    """Return Sanic's configuration; its own time limit on answers is off."""
    return Config(
        {
            "REQUEST_MAX_SIZE": settings.max_body_bytes,
            "REQUEST_MAX_HEADER_SIZE": settings.max_header_bytes,
            "REQUEST_TIMEOUT": settings.request_timeout_s,
            "RESPONSE_TIMEOUT": _NEVER_S,
            "KEEP_ALIVE_TIMEOUT": settings.keep_alive_s,
            "FALLBACK_ERROR_FORMAT": "json",
            "ACCESS_LOG": False,
            "MOTD": False,
            "AUTO_EXTEND": False,
        },
        env_prefix="",
    )


def _pick(settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings of these names; settings and engine parameters share theirs."""
    return {name: getattr(settings, name) for name in names if name in Settings.model_fields}
