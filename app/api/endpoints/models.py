"""Owns the model endpoints: list the models, load one."""

from __future__ import annotations

import asyncio
from typing import Any

from sanic import HTTPResponse, Request

from app.api.route import GUARDED, LOADS, Route
from app.api.schemas.service import (
    ModelEntry,
    ModelsResponse,
    SetModelRequest,
    SetModelResponse,
)
from app.api.service import Service, service_of
from app.errors import ModelNotFound
from app.models.catalog import Catalog, ModelFile
from app.web import access_log
from app.web.json_body import json_response, parse


async def list_models(request: Request) -> HTTPResponse:
    """List the models that can serve; scans the folder on each call."""
    service = service_of(request)
    entries = await asyncio.to_thread(service.catalog.entries)  # a disk may hang
    return json_response(
        {
            "models": [entry.name for entry in entries],
            "object": "list",
            "data": [_entry(service, entry) for entry in entries],
        }
    )


async def show_model(request: Request, model_id: str) -> HTTPResponse:
    """Describe one model."""
    service = service_of(request)
    file = await asyncio.to_thread(_offered, service.catalog, model_id)
    return json_response(_entry(service, file))


def _offered(catalog: Catalog, model_id: str) -> ModelFile:
    """Return the model with that name.

    Raises:
        ModelNotFound: there is no such file, or it is no model that can serve.
    """
    file = catalog.find(model_id)
    if refusal := catalog.refusal(file):
        raise ModelNotFound(f"{file.name} {refusal}", param="model")
    return file


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


def _entry(service: Service, file: ModelFile) -> dict[str, Any]:
    serving = service.supervisor.serving
    loaded = serving is not None and serving.name == file.name
    return {
        "id": file.name,
        "object": "model",
        "created": int(file.modified_s),
        "owned_by": "local",
        "size_bytes": file.size_bytes,
        "loaded": loaded,
        "n_ctx": serving.info.n_ctx if serving and loaded else None,
    }


ROUTES = (
    Route(
        method="get",
        path="/models",
        aliases=("/v1/models",),
        handler=list_models,
        summary="List the model files",
        response=ModelsResponse,
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
