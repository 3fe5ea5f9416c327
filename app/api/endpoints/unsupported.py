"""Owns the paths of OpenAI's API that clients know and this service has no answer for yet."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from sanic import HTTPResponse, Request

from app.api.route import GUARDED, Route
from app.errors import NotSupported
from app.web.json_body import parse


class UnsupportedRequest(BaseModel):
    """A JSON object, whatever is in it."""

    model_config = ConfigDict(extra="allow")


async def embeddings(request: Request) -> HTTPResponse:
    """Refuse a request for embeddings.

    Raises:
        NotSupported: always.
    """
    parse(request.body, UnsupportedRequest)
    raise NotSupported("this service has no embeddings yet")


async def rerank(request: Request) -> HTTPResponse:
    """Refuse a request to rank documents.

    Raises:
        NotSupported: always.
    """
    parse(request.body, UnsupportedRequest)
    raise NotSupported("this service cannot rank documents")


ROUTES = (
    Route(
        method="post",
        path="/v1/embeddings",
        aliases=("/embeddings",),
        handler=embeddings,
        summary="Not supported yet",
        request=UnsupportedRequest,
        errors=(*GUARDED, 501),
    ),
    Route(
        method="post",
        path="/v1/rerank",
        aliases=("/rerank", "/v1/reranking", "/reranking"),
        handler=rerank,
        summary="Not supported",
        request=UnsupportedRequest,
        errors=(*GUARDED, 501),
    ),
)
