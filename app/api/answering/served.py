"""Owns finding the model that answers a request, for every endpoint that takes a model's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
from sanic import Request

from app.api.defaults import Defaults
from app.api.dialect import ServedModel
from app.api.service import Service, service_of
from app.errors import ModelNotFound
from app.host.serving import Serving
from app.models.catalog import ModelFile


async def serving_for(
    request: Request, name: str | None, overrides: Mapping[str, Any] | None = None
) -> tuple[Serving, ServedModel]:
    """Return the model that answers a request, loaded if it has to be.

    Args:
        name: the model's name as asked for; None is the model that serves.
        overrides: load parameters, used if it has to be loaded.

    Raises:
        DistillerError: as `Supervisor.use`.
    """
    service = service_of(request)
    serving = await service.supervisor.use(name, overrides or {})
    defaults = service.defaults
    client: str | None = getattr(request.ctx, "key_name", None)
    if client and client in service.client_limits:
        limit = service.client_limits[client]
        defaults = dataclasses.replace(defaults, max_tokens_limit=limit)
    return serving, served_model(serving, defaults, name)


def asked_file(service: Service, name: str) -> ModelFile:
    """Return the file of the model that would answer to a name; reads the models folder.

    Raises:
        ModelNotFound: none would, or the file cannot serve.
    """
    catalog, status = service.catalog, service.supervisor.status
    file = catalog.asked(name)
    if file is None:  # an unknown name that means the default model
        file = catalog.find(status.serving.name if status.serving else status.pending or name)
    if refusal := catalog.refusal(file):
        raise ModelNotFound(f"{file.name} {refusal}", param="model")
    return file


def served_model(serving: Serving, defaults: Defaults, asked: str | None = None) -> ServedModel:
    """Return the model as readers see it.

    The settings beside its file override the service's, the seed it was loaded with both.

    Args:
        asked: the name that the request gave it.
    """
    plan = serving.plan
    changed = plan.settings.sampling
    if plan.params.seed is not None:
        changed["seed"] = plan.params.seed
    defaults = dataclasses.replace(
        defaults,
        sampling=msgspec.structs.replace(defaults.sampling, **changed),
        max_tokens=plan.settings.max_tokens(defaults.max_tokens),
        stop=plan.settings.stop,
    )
    return ServedModel(serving.name, serving.info, defaults, asked or "")
