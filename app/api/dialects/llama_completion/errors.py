"""Owns the shape of llama-server's errors; no I/O, no Sanic."""

from __future__ import annotations

from typing import Any

from app.errors import ContextOverflow
from app.web.errors import Fault

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_OVERFLOW = "exceed_context_size_error"


def native_error_body(fault: Fault) -> dict[str, Any]:
    """Return the JSON body of an error; `param` is added to llama-server's fields."""
    kind = "invalid_request_error" if fault.status < 500 else "server_error"
    kind = _TYPES.get(fault.status, kind)
    if fault.code == ContextOverflow.code:
        kind = _OVERFLOW
    error: dict[str, Any] = {"code": fault.status, "message": fault.message, "type": kind}
    error["param"] = fault.param
    if fault.requested:
        error |= {"n_prompt_tokens": fault.requested, "n_ctx": fault.n_ctx}
    return {"error": error}
