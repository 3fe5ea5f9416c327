"""Owns the routes of OpenAI's chat dialect."""

from __future__ import annotations

from app.api.answering.driver import answers
from app.api.dialect import Dialect
from app.api.dialects.chat_completions.answer_schemas import (
    ApplyTemplateResponse,
    ChatInputTokens,
    ChatResponse,
)
from app.api.dialects.chat_completions.control import ControlRequest, ControlResponse, control
from app.api.dialects.chat_completions.reader import read
from app.api.dialects.chat_completions.template import apply_template, input_tokens
from app.api.route import LOADS, QUEUES, Route
from app.api.schemas.chat import ChatRequest

DIALECT = Dialect(
    name="chat_completions",
    routes=(
        Route(
            method="post",
            path="/chat/completions",
            aliases=("/v1/chat/completions",),
            handler=answers(read),
            summary="Answer a conversation",
            response=ChatResponse,
            request=ChatRequest,
            errors=QUEUES,
            streams=True,
        ),
        Route(
            method="post",
            path="/chat/completions/input_tokens",
            aliases=("/v1/chat/completions/input_tokens",),
            handler=input_tokens,
            summary="Count the tokens of the prompt that a chat request would have",
            response=ChatInputTokens,
            request=ChatRequest,
            errors=LOADS,
        ),
        Route(
            method="post",
            path="/chat/completions/control",
            aliases=("/v1/chat/completions/control",),
            handler=control,
            summary="End the reasoning of an answer that is being generated",
            response=ControlResponse,
            request=ControlRequest,
        ),
        Route(
            method="post",
            path="/apply-template",
            aliases=("/v1/apply-template",),
            handler=apply_template,
            summary="Return the prompt that a chat request would have",
            response=ApplyTemplateResponse,
            request=ChatRequest,
            errors=LOADS,
        ),
    ),
)
