"""Owns `/api/embed` and `/api/embeddings`, which say that there are no embeddings yet."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from app.api.dialects.ollama.reader import read_body
from app.api.dialects.ollama.schemas import OllamaFields
from app.errors import NotSupported


async def embed(request: Request) -> HTTPResponse:
    """Refuse a request for embeddings.

    Raises:
        NotSupported: always.
    """
    body = read_body(request.body, OllamaFields)
    raise NotSupported(
        f'"{body.model}" does not support embedding: this service has no embeddings yet',
        param="model",
    )
