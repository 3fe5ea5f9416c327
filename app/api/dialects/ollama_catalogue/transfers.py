"""Owns the endpoints that download and upload models: what is here is told, no more."""

from __future__ import annotations

import asyncio

from sanic import HTTPResponse, Request

from app.api.dialects.ollama_catalogue.listing import not_found
from app.api.dialects.ollama_catalogue.progress import lines, progress
from app.api.dialects.ollama_catalogue.schemas import PullRequest
from app.api.ollama_names import local_name
from app.api.service import service_of
from app.errors import ModelNotFound, NotSupported
from app.web.json_body import parse


async def pull(request: Request) -> HTTPResponse:
    """Return success for a model that is here; others cannot be downloaded."""
    body = parse(request.body, PullRequest)
    is_streamed = body.stream is not False
    catalog = service_of(request).catalog
    try:
        await asyncio.to_thread(lambda: catalog.asked(local_name(catalog, body.asked)))
    except ModelNotFound:
        refusal = NotSupported(
            f"{not_found(body.asked).message}: downloads are not available yet; "
            "put its GGUF file into the models folder, or upload it with /api/create",
            param="model",
        )
        if is_streamed:
            return lines([{"status": "pulling manifest"}, {"error": refusal.message}])
        raise refusal from None
    return progress(["pulling manifest", "success"], is_streamed=is_streamed)


async def push(request: Request) -> HTTPResponse:
    """Refuse: models leave this server by nobody's request."""
    parse(request.body, PullRequest)
    raise NotSupported("push is not supported by this server", param="model")
