"""Owns the endpoints that tell of models: version, list, description, what is loaded."""

from __future__ import annotations

import asyncio
from typing import Any

from sanic import HTTPResponse, Request

from app.api.dialects.ollama_catalogue.described import (
    Described,
    describe,
    tagged,
    timestamp,
)
from app.api.dialects.ollama_catalogue.schemas import ShowRequest
from app.api.dialects.ollama_catalogue.shown import shown
from app.api.ollama_names import local_name
from app.api.service import Service, service_of
from app.errors import ModelNotFound
from app.host.serving import Serving
from app.models.catalog import ModelFile
from app.models.gguf import GgufError
from app.web.json_body import json_response, parse

VERSION = "0.32.0"
"""The version of Ollama whose interface this is: clients compare it with the one they need."""

_FOREVER_S = 10_413_792_000.0  # the year 2300: clients read it as a date, whose years end at 9999


async def version(_request: Request) -> HTTPResponse:
    """Return the version of Ollama's interface."""
    return json_response({"version": VERSION})


async def tags(request: Request) -> HTTPResponse:
    """List the models that can serve, the newest first; each of their aliases is one more."""
    listed = await asyncio.to_thread(_listed, service_of(request))
    return json_response({"models": listed})


def _listed(service: Service) -> list[dict[str, Any]]:
    described = []
    for file in service.catalog.entries():
        try:
            described.append(describe(service.catalog, service.digests, file))
        except GgufError:  # it changed meanwhile
            continue
    described.sort(key=lambda each: (-each.modified_s, each.name))
    aliases = service.catalog.aliases()
    return [
        each.listed(name)
        for each in described
        for name in [each.name, *map(tagged, aliases.get(each.file.name, []))]
    ]


async def show(request: Request) -> HTTPResponse:
    """Describe a model."""
    service = service_of(request)
    body = parse(request.body, ShowRequest)
    return json_response(
        await asyncio.to_thread(_shown, service, body.asked, verbose=bool(body.verbose))
    )


def _shown(service: Service, name: str, *, verbose: bool) -> dict[str, Any]:
    file = found(service, name)
    try:
        described = describe(service.catalog, service.digests, file)
        values = service.catalog.header(file).values
    except GgufError as error:
        raise ModelNotFound(f"{file.name} {error}", param="model") from error
    return shown(described, values, _n_ctx(service, described), verbose=verbose)


def _n_ctx(service: Service, described: Described) -> int:
    """Return the context window of a model: as it is loaded, else as it is wanted."""
    for serving in service.supervisor.loaded:
        if serving.name == described.file.name:
            return serving.info.n_ctx
    wanted = described.settings.load_params.get("n_ctx", service.supervisor.load_defaults.n_ctx)
    return min(int(wanted), described.facts.n_ctx_train or int(wanted))


def found(service: Service, name: str) -> ModelFile:
    """Return the model that a name means, by the rules for requests.

    Raises:
        ModelNotFound: there is none, or it is a file that cannot serve.
    """
    catalog, serving = service.catalog, service.supervisor.serving
    try:
        file = catalog.asked(local_name(catalog, name))
    except ModelNotFound as error:
        raise not_found(name) from error
    if file is None:
        file = serving.plan.file if serving else catalog.default(None)
    if file is None:
        raise not_found(name)
    if refusal := catalog.refusal(file):
        raise ModelNotFound(f"model '{name}' not found: {file.name} {refusal}", param="model")
    return file


def not_found(name: str) -> ModelNotFound:
    """Return the error for a model that is not here, in Ollama's words."""
    return ModelNotFound(f"model '{name[:200]}' not found", param="model")


async def running(request: Request) -> HTTPResponse:
    """List the model that is loaded."""
    service = service_of(request)
    serving = service.supervisor.serving
    listed = await asyncio.to_thread(_running, service, serving) if serving else []
    return json_response({"models": listed})


def _running(service: Service, serving: Serving) -> list[dict[str, Any]]:
    info, size = serving.info, serving.plan.needed_bytes
    try:
        described = describe(service.catalog, service.digests, serving.plan.file)
    except GgufError:  # its file was removed or replaced
        return []
    expires_s = min(service.keep_alive.expires_s(serving.name), _FOREVER_S)
    listed = {
        "name": described.name,
        "model": described.name,
        "size": size,
        "digest": described.digest,
        "details": described.details,
        "expires_at": timestamp(expires_s),
        "size_vram": size if info.n_gpu_layers else 0,
        "context_length": info.n_ctx,
    }
    return [listed]
