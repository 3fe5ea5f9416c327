"""Errors at Ollama's paths are one text, as its clients know it, and so are the statuses."""

from __future__ import annotations

import pytest

from app.api.schemas.ollama import STATUSES, OllamaError, ollama_error_body, parse_body
from app.errors import DistillerError, InvalidRequest, QueueFull
from app.web.errors import STATUS
from tests.web.error_samples import leaves, response, sample


@pytest.mark.parametrize("kind", leaves())
def test_an_error_is_its_message_and_nothing_else(kind: type[DistillerError]) -> None:
    error = sample(kind)
    status, headers, body = response(error, ollama_error_body, STATUSES)
    OllamaError.model_validate(body, strict=True)
    if kind is QueueFull:
        assert status == 503
        assert str(body["error"]).startswith("server busy, please try again.")
    else:
        assert (status, body) == (STATUS[kind], {"error": error.message})
    assert ("Retry-After" in headers) == (status in (429, 503))


def test_what_was_not_foreseen_tells_nothing_of_the_inside() -> None:
    status, _, body = response(KeyError("/etc/secret"), ollama_error_body, STATUSES)
    assert (status, set(body)) == (500, {"error"})
    assert "secret" not in body["error"]


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_a_body_is_required(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^missing request body$"):
        parse_body(data, OllamaError)


def test_a_body_is_read_as_everywhere() -> None:
    assert parse_body(b'{"error": "x", "more": 1}', OllamaError).error == "x"
    with pytest.raises(InvalidRequest) as refused:
        parse_body(b'{"error": 5}', OllamaError)
    assert refused.value.param == "error"
