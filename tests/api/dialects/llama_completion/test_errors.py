"""Errors of llama-server's endpoints have its shape."""

from __future__ import annotations

import pytest

from app.api.dialects.llama_completion.errors import native_error_body
from app.errors import ContextOverflow, InvalidRequest, KeyRefused, ModelNotFound
from app.web.errors import fault_of


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (InvalidRequest("bad", param="n_predict"), 400, "invalid_request_error"),
        (ContextOverflow(600, 512), 400, "exceed_context_size_error"),
        (KeyRefused(is_wrong=False), 401, "authentication_error"),
        (ModelNotFound("none"), 404, "not_found_error"),
        (RuntimeError("broken"), 500, "server_error"),
    ],
)
def test_a_status_has_its_type(error: Exception, code: int, kind: str) -> None:
    body = native_error_body(fault_of(error))["error"]
    assert (body["code"], body["type"]) == (code, kind)


def test_the_field_at_fault_is_named() -> None:
    error = InvalidRequest("n_predict: too small", param="n_predict")
    assert native_error_body(fault_of(error))["error"]["param"] == "n_predict"
