"""Owns the routes of OpenAI's Responses dialect."""

from __future__ import annotations

from app.api.dialect import Dialect
from app.api.dialects.responses.answer_schemas import InputTokensResponse, ResponseObject
from app.api.dialects.responses.handlers import input_tokens
from app.api.dialects.responses.schemas import ResponsesRequest
from app.api.dialects.responses.stored.handlers import respond
from app.api.dialects.responses.stored.routes import ROUTES
from app.api.route import LOADS, QUEUES, Route

DIALECT = Dialect(
    name="responses",
    routes=(
        Route(
            method="post",
            path="/responses",
            aliases=("/v1/responses",),
            handler=respond,
            summary="Answer items of a conversation",
            response=ResponseObject,
            request=ResponsesRequest,
            errors=QUEUES,
            streams=True,
        ),
        Route(
            method="post",
            path="/responses/input_tokens",
            aliases=("/v1/responses/input_tokens",),
            handler=input_tokens,
            summary="Count the tokens of the prompt of a request",
            response=InputTokensResponse,
            request=ResponsesRequest,
            errors=LOADS,
        ),
        *ROUTES,
    ),
)
