"""Owns the routes of llama-server's completions, and of its views of the model."""

from __future__ import annotations

from app.api.answering.driver import answers
from app.api.dialect import Dialect
from app.api.dialects.llama_completion.errors import native_error_body
from app.api.dialects.llama_completion.reader import read, read_infill
from app.api.dialects.llama_completion.schemas import (
    InfillRequest,
    NativeCompletionRequest,
    NativeCompletionResponse,
    NativeErrorBody,
    PropsResponse,
    SlotsResponse,
)
from app.api.dialects.llama_completion.views import props, slots
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
        Route(
            method="post",
            path="/infill",
            handler=answers(read_infill),
            summary="Fill in the middle of a text, as llama-server does",
            response=NativeCompletionResponse,
            request=InfillRequest,
            errors=(*QUEUES, 501),
            error=NativeErrorBody,
            streams=True,
        ),
        Route(
            method="get",
            path="/props",
            handler=props,
            summary="Describe the loaded model, as llama-server does",
            response=PropsResponse,
            error=NativeErrorBody,
        ),
        Route(
            method="get",
            path="/slots",
            handler=slots,
            summary="List the places for requests, as llama-server does",
            response=SlotsResponse,
            query={"fail_on_no_slot": "A 503 where all are taken."},
            error=NativeErrorBody,
        ),
    ),
    error_body=native_error_body,
)
