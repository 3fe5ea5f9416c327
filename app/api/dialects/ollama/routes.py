"""Owns the routes of Ollama's answers, and the errors of all its paths."""

from __future__ import annotations

from app.api.dialect import Dialect
from app.api.dialects.ollama.answer_schemas import (
    OllamaChatResponse,
    OllamaDetokenizeResponse,
    OllamaGenerateResponse,
    OllamaTokenizeResponse,
)
from app.api.dialects.ollama.embeddings import embed
from app.api.dialects.ollama.handlers import chat, generate
from app.api.dialects.ollama.schemas import (
    OllamaChatRequest,
    OllamaDetokenizeRequest,
    OllamaFields,
    OllamaGenerateRequest,
    OllamaTokenizeRequest,
)
from app.api.dialects.ollama.tokens import detokenize, tokenize
from app.api.dialects.ollama.writer import NDJSON
from app.api.route import GUARDED, LOADS, QUEUES, Route
from app.api.schemas.ollama import PREFIX, STATUSES, OllamaError, ollama_error_body

DIALECT = Dialect(
    name="ollama",
    error_body=ollama_error_body,
    prefix=PREFIX,
    statuses=STATUSES,
    routes=(
        Route(
            method="post",
            path="/api/chat",
            handler=chat,
            summary="Answer a conversation",
            response=OllamaChatResponse,
            request=OllamaChatRequest,
            errors=QUEUES,
            error=OllamaError,
            streams=True,
            stream_type=NDJSON,
        ),
        Route(
            method="post",
            path="/api/generate",
            handler=generate,
            summary="Answer a prompt, or complete a text",
            response=OllamaGenerateResponse,
            request=OllamaGenerateRequest,
            errors=QUEUES,
            error=OllamaError,
            streams=True,
            stream_type=NDJSON,
        ),
        Route(
            method="post",
            path="/api/tokenize",
            handler=tokenize,
            summary="Turn text into token ids",
            response=OllamaTokenizeResponse,
            request=OllamaTokenizeRequest,
            errors=LOADS,
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/detokenize",
            handler=detokenize,
            summary="Turn token ids into text",
            response=OllamaDetokenizeResponse,
            request=OllamaDetokenizeRequest,
            errors=LOADS,
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/embed",
            aliases=("/api/embeddings",),
            handler=embed,
            summary="Not supported yet",
            request=OllamaFields,
            errors=(*GUARDED, 501),
            error=OllamaError,
        ),
    ),
)
