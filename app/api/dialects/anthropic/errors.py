"""Owns the shape of Anthropic's errors; no I/O, no Sanic."""

from __future__ import annotations

from typing import Any

from app.errors import ContextOverflow
from app.web.errors import Fault

THREADS_UNSUPPORTED = "thread_unsupported_request"
THREAD_NOT_FOUND = "thread_not_found"

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# What `error.details` says: Anthropic's clients then send the whole conversation instead.
_DETAILS: dict[str, dict[str, Any]] = {
    THREADS_UNSUPPORTED: {"error_code": THREADS_UNSUPPORTED, "unsupported": ["thread"]},
    THREAD_NOT_FOUND: {"error_code": THREAD_NOT_FOUND},
}


def anthropic_error_body(fault: Fault) -> dict[str, Any]:
    """Return the JSON body of an error; `param` is added to Anthropic's fields.

    A prompt that is too long has the message by which clients know that they have to shorten it.
    """
    kind = "invalid_request_error" if fault.status < 500 else "api_error"
    message = fault.message
    if fault.code == ContextOverflow.code and fault.n_ctx:
        message = f"prompt is too long: {fault.requested} tokens > {fault.n_ctx} maximum"
    error: dict[str, Any] = {
        "type": _TYPES.get(fault.status, kind),
        "message": message,
        "param": fault.param,
    }
    if details := _DETAILS.get(fault.code or ""):
        error["details"] = details
    return {"type": "error", "error": error, "request_id": fault.request_id or None}
