"""Owns what `/api/chat` and `/api/generate` have in common with OpenAI's chat body; no I/O."""

from __future__ import annotations

from typing import Any

from app.api.dialects.ollama.conversation import without_nulls
from app.api.dialects.ollama.options import option_of, read_options
from app.api.dialects.ollama.schemas import OllamaFields

_RENAMED = {
    "enable_thinking": "think",
    "reasoning_effort": "think",
    "response_format": "format",
}


def answer_fields(body: OllamaFields) -> dict[str, Any]:
    """Return the fields of a chat body that say how the answer is made.

    Raises:
        InvalidRequest: an option has the wrong type.
    """
    fields: dict[str, Any] = {"stream": body.streams, **read_options(body.options).fields}
    if body.logprobs:
        fields |= {"logprobs": True, "top_logprobs": body.top_logprobs or 0}
    return fields | _format_fields(body.format)


def thinking_fields(think: bool | str | None) -> dict[str, Any]:
    """Return the fields of a chat body that say whether, and how much, the model reasons."""
    if isinstance(think, str):
        return {"enable_thinking": True, "reasoning_effort": think}
    return {} if think is None else {"enable_thinking": think}


def _format_fields(asked: str | dict[str, Any] | None) -> dict[str, Any]:
    if asked is None:
        return {}
    if isinstance(asked, str):
        return {"response_format": {"type": "json_object"}}
    schema = {"name": "format", "schema": without_nulls(asked), "strict": False}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def param_of(field: str) -> str:
    """Return Ollama's name of a field of a chat body; for errors."""
    first = field.partition(".")[0].partition("[")[0]
    if first in _RENAMED:
        return _RENAMED[first]
    return option_of(field) or field.replace(".reasoning_content", ".thinking")
