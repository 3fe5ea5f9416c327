"""Errors at Ollama's paths are one text, with the statuses that its clients know."""

from __future__ import annotations

import pytest

from app.api.schemas.ollama import STATUSES, OllamaError, ollama_error_body
from app.errors import InvalidRequest, KeyRefused, ModelNotFound, QueueFull
from app.web.errors import fault_of


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("options.top_k: must be a number", param="options.top_k"),
        KeyRefused(is_wrong=True),
        ModelNotFound("model 'x' not found", param="model"),
        RuntimeError("broken"),
    ],
)
def test_an_error_is_its_message_and_nothing_else(error: Exception) -> None:
    fault = fault_of(error)
    body = ollama_error_body(fault)
    assert body == {"error": fault.message}
    OllamaError.model_validate(body, strict=True)


def test_a_full_queue_is_told_in_ollamas_words_and_with_its_status() -> None:
    fault = fault_of(QueueFull(3))
    assert str(ollama_error_body(fault)["error"]).startswith("server busy, please try again.")
    assert STATUSES[QueueFull.code] == 503
