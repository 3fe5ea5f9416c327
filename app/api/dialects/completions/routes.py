"""Owns the route of OpenAI's legacy completions."""

from __future__ import annotations

from app.api.answering.driver import answers
from app.api.dialect import Dialect
from app.api.dialects.completions.reader import read
from app.api.dialects.completions.schemas import CompletionRequest, CompletionResponse
from app.api.route import QUEUES, Route

DIALECT = Dialect(
    name="completions",
    routes=(
        Route(
            method="post",
            path="/v1/completions",
            handler=answers(read),
            summary="Continue a text",
            response=CompletionResponse,
            request=CompletionRequest,
            errors=QUEUES,
            streams=True,
        ),
    ),
)
