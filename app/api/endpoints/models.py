"""Owns the model endpoints: list the models, load one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sanic import HTTPResponse, Request

from app.api.answering.served import asked_file
from app.api.listed_models import Listed, anthropic_model, anthropic_page, entry
from app.api.route import GUARDED, LOADS, Route
from app.api.schemas.service import (
    ModelEntry,
    ModelsResponse,
    SetModelRequest,
    SetModelResponse,
)
from app.api.service import Service, service_of
from app.models.catalog import Catalog, ModelFile
from app.models.gguf import GgufError
from app.web import access_log
from app.web.json_body import json_response, parse

_ANTHROPIC = "anthropic-version"


async def list_models(request: Request) -> HTTPResponse:
    """List the models that can serve; scans the folder on each call."""
    service = service_of(request)
    listed = await asyncio.to_thread(_listed, service.catalog)  # a disk may hang
    query = dict(request.get_args(keep_blank_values=True).items())
    if _ANTHROPIC in request.headers:
        asked = {key: query[key][0] for key in query}
        return json_response(anthropic_page(listed, asked, service.supervisor))
    # Codex reads objects of its own kind in `models`, the device's client names.
    names = [] if "client_version" in query else [each.file.name for each in listed]
    entries = [entry(each, service.supervisor) for each in listed]
    return json_response({"models": names, "object": "list", "data": entries})


async def show_model(request: Request, model_id: str) -> HTTPResponse:
    """Describe one model."""
    service = service_of(request)
    listed = await asyncio.to_thread(_asked, service, model_id)
    if _ANTHROPIC in request.headers:
        return json_response(anthropic_model(listed, model_id, service.supervisor))
    return json_response(entry(listed, service.supervisor))


def _listed(catalog: Catalog) -> list[Listed]:
    files, aliases = catalog.entries(), catalog.aliases()
    return [_described(catalog, file, aliases) for file in files]


def _described(catalog: Catalog, file: ModelFile, aliases: Mapping[str, Sequence[str]]) -> Listed:
    known = aliases.get(file.name, ())
    try:
        return Listed(file, known, catalog.facts(file), catalog.card(file).n_params)
    except GgufError:  # replaced meanwhile
        return Listed(file, known, None)


def _asked(service: Service, name: str) -> Listed:
    return _described(service.catalog, asked_file(service, name), service.catalog.aliases())


async def set_model(request: Request) -> HTTPResponse:
    """Load a model and switch to it."""
    service = service_of(request)
    body = parse(request.body, SetModelRequest)
    access_log.note(request, model=body.model_name)
    file = await asyncio.to_thread(service.catalog.find, body.model_name)
    serving = await service.supervisor.switch(file, body.overrides())
    return json_response(
        {
            "message": "Model loaded successfully",
            "status": "ok",
            "model": serving.name,
            "n_ctx": serving.info.n_ctx,
            "n_gpu_layers": serving.info.n_gpu_layers,
            "load_ms": serving.info.load_ms,
            "notes": list(serving.plan.notes),
        }
    )


_OF_ANTHROPIC = "For requests with the header anthropic-version: "
_PAGING = {
    "limit": f"{_OF_ANTHROPIC}the longest list, 20 if omitted.",
    "after_id": f"{_OF_ANTHROPIC}list what follows this id.",
    "before_id": f"{_OF_ANTHROPIC}list what precedes this id.",
}

ROUTES = (
    Route(
        method="get",
        path="/models",
        aliases=("/v1/models",),
        handler=list_models,
        summary="List the model files",
        response=ModelsResponse,
        query=_PAGING,
    ),
    Route(
        method="get",
        path="/models/{model_id}",
        aliases=("/v1/models/{model_id}",),
        handler=show_model,
        summary="Describe one model file",
        response=ModelEntry,
        errors=(*GUARDED, 404),
    ),
    Route(
        method="post",
        path="/setModel",
        handler=set_model,
        summary="Load a model and switch to it",
        response=SetModelResponse,
        request=SetModelRequest,
        errors=LOADS,
    ),
)
