"""Owns the endpoint that makes a model, of an upload or of another model, with settings."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sanic import HTTPResponse, Request

from app.api.dialects.ollama_catalogue.changes import (
    CHANGING,
    check_linkable,
    check_unused,
    link_with_settings,
    refusals,
    settings_before,
    target_of,
)
from app.api.dialects.ollama_catalogue.listing import found
from app.api.dialects.ollama_catalogue.progress import progress
from app.api.dialects.ollama_catalogue.schemas import CreateRequest
from app.api.dialects.ollama_catalogue.uploads import find_blob, hexadecimal
from app.api.schemas.ollama import parse_body
from app.api.service import Service, service_of
from app.errors import DistillerError, InvalidRequest, ModelFileRefused, NotSupported
from app.models.content.blobs import BlobStore
from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    checked_settings,
    read_settings,
    write_settings,
)

# Ollama's own templates are Go's: `{{ .Prompt }}`, `{{ if … }}`. Jinja has no such expressions.
_GO_TEMPLATE = re.compile(r"{{-?\s*(?:[.$]|(?:if|else|end|range|with|block|define|template)\b)")


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a model is made of.

    Args:
        path: its file.
        settings: those that it inherits.
        digest: of the upload; empty for another model.
    """

    path: Path
    settings: ModelSettings
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Created:
    """A model that was made, and the settings that a model of its name had before."""

    path: Path
    before: ModelSettings


async def create(request: Request) -> HTTPResponse:
    """Make a model; one that is loaded is loaded again with its new settings."""
    service = service_of(request)
    body = parse_body(request.body, CreateRequest)
    _check_offered(body)
    created = await asyncio.to_thread(_create, service, body)
    await _apply(service, created)
    return progress(
        ["reading model metadata", "writing manifest", "success"],
        is_streamed=body.stream is not False,
    )


def _check_offered(body: CreateRequest) -> None:
    for name in ("adapters", "messages", "quantize"):
        if getattr(body, name):
            raise NotSupported(f"{name}: not supported by this server", param=name)
    if bool(body.parent) == bool(body.files):
        problem = "both 'from' and 'files' were" if body.parent else "neither 'from' or 'files' was"
        raise InvalidRequest(f"{problem} specified", param="from")
    if body.template and _GO_TEMPLATE.search(body.template):
        raise ModelFileRefused(
            "template: this is a template of Ollama's; here templates are Jinja, as in the "
            "model's file",
            param="template",
        )


def _create(service: Service, body: CreateRequest) -> _Created:
    name, uploads = body.asked, BlobStore(service.catalog.models_dir)
    with CHANGING, refusals("model"):
        weights = _weights(service, body)
        target, is_there = target_of(service, name)
        is_same = is_there and target.samefile(weights.path)
        if not is_same:
            check_linkable(weights.path.name)
            check_linkable(target.name)
            if is_there:
                check_unused(service, target.name)
        settings = _settings(weights.settings, body)
        if is_same:
            before = settings_before(target)
            write_settings(target, settings)
        else:
            move = uploads.has(weights.path)
            before = link_with_settings(weights.path, target, settings, replace=is_there, move=move)
        if weights.digest:
            service.digests.learn(target, weights.digest)
            uploads.remove(weights.digest)
        return _Created(target, before)


def _weights(service: Service, body: CreateRequest) -> _Weights:
    if body.parent:
        file = found(service, body.parent)
        return _Weights(file.path, read_settings(file.path))
    files = list((body.files or {}).values())
    if len(files) != 1:
        raise ModelFileRefused("files: exactly one GGUF file is expected", param="files")
    digest = hexadecimal(files[0], "files")
    path = find_blob(service, digest)
    if path is None:
        raise ModelFileRefused(f"files: there is no blob sha256:{digest}", param="files")
    return _Weights(path, NO_SETTINGS, digest)


def _settings(inherited: ModelSettings, body: CreateRequest) -> ModelSettings:
    licences = [body.license] if isinstance(body.license, str) else body.license
    given = {
        "system": body.system,
        "template": body.template,
        "license": licences or None,
        "parent": body.parent,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    parameters = inherited.parameters | (body.parameters or {})
    settings = msgspec.structs.replace(inherited, parameters=parameters, **changed)
    return checked_settings(settings)


async def _apply(service: Service, created: _Created) -> None:
    """Load a model again that serves, so that its new settings count.

    Raises:
        DistillerError: it cannot be loaded with them; the former ones are there again.
    """
    serving = service.supervisor.serving
    if serving is None or serving.name != created.path.name:
        return
    file = await asyncio.to_thread(service.catalog.find, created.path.name)
    try:
        await service.supervisor.switch(file, {})
    except DistillerError:
        with refusals("model"):
            await asyncio.to_thread(write_settings, created.path, created.before)
        raise
