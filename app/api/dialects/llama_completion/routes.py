"""Owns the route of llama-server's completion."""

from __future__ import annotations

from app.api.answering.driver import answers
from app.api.dialect import Dialect
from app.api.dialects.llama_completion.errors import native_error_body
from app.api.dialects.llama_completion.reader import read
from app.api.dialects.llama_completion.schemas import (
    NativeCompletionRequest,
    NativeCompletionResponse,
    NativeErrorBody,
)
from app.api.route import QUEUES, Route

DIALECT = Dialect(
    name="llama_completion",
    routes=(
        Route(
            method="post",
            path="/completion",
            aliases=("/completions",),
            handler=answers(read),
            summary="Continue a text, as llama-server does",
            response=NativeCompletionResponse,
            request=NativeCompletionRequest,
            errors=QUEUES,
            error=NativeErrorBody,
            streams=True,
        ),
    ),
    error_body=native_error_body,
)
