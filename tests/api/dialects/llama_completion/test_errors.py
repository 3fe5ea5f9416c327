"""Errors of llama-server's endpoints have its shape."""

from __future__ import annotations

import pytest

from app.api.dialects.llama_completion.errors import native_error_body
from app.errors import ContextOverflow, InvalidRequest, KeyRefused, ModelNotFound, NotSupported
from app.web.errors import fault_of


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (InvalidRequest("bad", param="n_predict"), 400, "invalid_request_error"),
        (ContextOverflow(600, 512), 400, "exceed_context_size_error"),
        (KeyRefused(is_wrong=False), 401, "authentication_error"),
        (ModelNotFound("none"), 404, "not_found_error"),
        (NotSupported("no"), 501, "not_supported_error"),
        (RuntimeError("broken"), 500, "server_error"),
    ],
)
def test_a_status_has_its_type(error: Exception, code: int, kind: str) -> None:
    body = native_error_body(fault_of(error))["error"]
    assert (body["code"], body["type"]) == (code, kind)


def test_a_prompt_that_is_too_long_tells_by_how_much() -> None:
    body = native_error_body(fault_of(ContextOverflow(600, 512)))["error"]
    assert (body["n_prompt_tokens"], body["n_ctx"]) == (600, 512)
    other = native_error_body(fault_of(InvalidRequest("bad")))["error"]
    assert set(other) == {"code", "message", "type", "param"}


def test_the_field_at_fault_is_named() -> None:
    error = InvalidRequest("n_predict: too small", param="n_predict")
    assert native_error_body(fault_of(error))["error"]["param"] == "n_predict"
