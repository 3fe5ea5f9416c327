"""Owns the conversion of settings to the parameters of the HTTP process's parts."""

from __future__ import annotations

import socket

import msgspec
from sanic.config import Config

from app.api.defaults import Defaults
from app.config.models import aliases_of
from app.config.settings import Settings
from app.models.names import Naming
from app.parameters.answer import AnswerParams, ReasoningDefaults
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, LoadParams, ReasoningParams, SamplingParams
from app.web.access_control import AccessPolicy
from app.web.api_keys import ApiKeys

_NEVER_S = 10_000_000
_UNLIMITED = -1


def load_params(settings: Settings) -> LoadParams:
    """Return the default parameters of a load.

    They have no seed: the setting `seed` is a default of requests (`answer_defaults`), which a seed
    in `load_model_configs` overrides.
    """
    params = settings.part(LoadParams)
    verbose = params.verbose or settings.log_level == "debug"
    return msgspec.structs.replace(params, verbose=verbose)


def answer_defaults(settings: Settings) -> Defaults:
    """Return the defaults of a chat request."""
    answer, reasoning = settings.part(AnswerParams), settings.part(ReasoningDefaults)
    budget = reasoning.reasoning_budget
    return Defaults(
        sampling=settings.part(SamplingParams),
        max_tokens=answer.max_tokens,
        max_tokens_limit=answer.max_tokens_limit,
        reasoning=ReasoningParams(
            is_split=reasoning.reasoning_format != "none",
            budget=None if budget == _UNLIMITED else budget,
        ),
        speculate=answer.speculation,
    )


def naming(settings: Settings) -> Naming:
    """Return how requests may name models besides their file names."""
    return Naming(aliases_of(settings.models), settings.unknown_model)


def client_limits(settings: Settings) -> dict[str, int]:
    """Return the limits on generated tokens that clients have of their own, by name."""
    named = ((client.name, client.max_tokens_limit) for client in settings.clients)
    return {name: limit for name, limit in named if limit is not None}


def cache_params(settings: Settings) -> CacheParams:
    """Return the disk tier's parameters, as engines get them."""
    params = settings.part(CacheParams)
    folder = str(settings.cache_dir) if params.disk_cache_mb else ""
    return msgspec.structs.replace(params, folder=folder)


def access_policy(settings: Settings, keys: ApiKeys) -> AccessPolicy:
    """Return the access policy; the device's host name is always allowed."""
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
    timeouts = settings.part(Timeouts)
    return Config(
        {
            "REQUEST_MAX_SIZE": settings.max_body_bytes,
            "REQUEST_MAX_HEADER_SIZE": settings.max_header_bytes,
            "REQUEST_TIMEOUT": timeouts.request_timeout_s,
            "RESPONSE_TIMEOUT": _NEVER_S,
            "KEEP_ALIVE_TIMEOUT": timeouts.keep_alive_s,
            "FALLBACK_ERROR_FORMAT": "json",
            "ACCESS_LOG": False,
            "MOTD": False,
            "AUTO_EXTEND": False,
        },
        env_prefix="",
    )
