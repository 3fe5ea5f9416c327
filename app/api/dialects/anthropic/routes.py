"""Owns the routes of Anthropic's dialect."""

from __future__ import annotations

from app.api.dialect import Dialect
from app.api.dialects.anthropic.answer_schemas import (
    MessageErrorBody,
    MessageResponse,
    TokenCountResponse,
)
from app.api.dialects.anthropic.errors import anthropic_error_body
from app.api.dialects.anthropic.messages import count_tokens, create_message
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.api.route import LOADS, QUEUES, Route

DIALECT = Dialect(
    name="anthropic",
    routes=(
        Route(
            method="post",
            path="/v1/messages",
            handler=create_message,
            summary="Answer a conversation, as Anthropic does",
            response=MessageResponse,
            request=MessagesRequest,
            errors=QUEUES,
            error=MessageErrorBody,
            streams=True,
        ),
        Route(
            method="post",
            path="/v1/messages/count_tokens",
            handler=count_tokens,
            summary="Count the tokens of a conversation's prompt",
            response=TokenCountResponse,
            request=MessagesRequest,
            errors=LOADS,
            error=MessageErrorBody,
        ),
    ),
    error_body=anthropic_error_body,
    prefix="/v1/messages/",
)
