"""Owns the way from errors to HTTP: one table of statuses, one JSON shape.

Everything an error can be on the wire is decided here, before the first byte of a response and
after it (as the body of an SSE event).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from sanic import HTTPResponse, Request
from sanic.exceptions import SanicException
from sanic.handlers import ErrorHandler

from app import errors
from app.logs import get_logger
from app.protocol import Failed, RequestEvent

STATUS: dict[type[errors.DistillerError], int] = {
    errors.InvalidRequest: 400,
    errors.ContextOverflow: 400,
    errors.TemplateRefused: 400,
    errors.TemplateTooSlow: 400,
    errors.GrammarFailed: 400,
    errors.ModelNotFound: 404,
    errors.LoadParamsRefused: 400,
    errors.KeyRefused: 401,
    errors.HostRefused: 403,
    errors.OriginRefused: 403,
    errors.TooManyRequests: 429,
    errors.QueueFull: 429,
    errors.SettingsInvalid: 500,
    errors.ModelLoadFailed: 500,
    errors.ModelTooLarge: 507,
    errors.NoModelLoaded: 503,
    errors.EngineUnavailable: 503,
    errors.EngineDied: 503,
    errors.RequestQuarantined: 500,
    errors.ServiceStopping: 503,
    errors.DeadlineExceeded: 504,
}
STATUS_CLIENT_GONE = 499
_RETRY_AFTER_S = 1
_SANIC_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    431: "request_header_too_large",
    503: "service_unavailable",
}
_BY_NAME = {kind.__name__: kind for kind in STATUS}

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_HEADER_TOO_LARGE = "Request header exceeds the size limit"  # Sanic's words

log = get_logger("api")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that Sanic's own errors do not tell."""

    max_body_bytes: int
    max_header_bytes: int


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error; 500 for anything unforeseen."""
    if isinstance(error, errors.DistillerError):
        return STATUS.get(type(error), 500)
    if isinstance(error, SanicException):
        return 431 if str(error) == _HEADER_TOO_LARGE else int(error.status_code)
    return STATUS_CLIENT_GONE if isinstance(error, asyncio.CancelledError) else 500


def body_of(error: BaseException, limits: Limits | None = None) -> dict[str, Any]:
    """Return the JSON body of an error."""
    status = status_of(error)
    param: str | None = None
    code: str | None = "internal_error"
    message = "The service failed on this request; its log has the details"
    if isinstance(error, errors.DistillerError):
        message, param, code = error.message, error.param, error.code
    elif isinstance(error, SanicException):
        message, code = str(error), _SANIC_CODES.get(status, "http_error")
        if limits and status == 413:
            message = f"Request body is larger than {limits.max_body_bytes} bytes"
            message, param = f"{message} (setting max_body_bytes)", "body"
        if limits and status == 431:
            message = f"Request header is larger than {limits.max_header_bytes} bytes"
            message += " (setting max_header_bytes)"
    kind = "invalid_request_error" if status < 500 else "server_error"
    kind = _KINDS.get(status, kind)
    message = message.encode(errors="backslashreplace").decode()  # may quote bytes that are no text
    return {
        "error": {"message": message, "type": kind, "param": param, "code": code},
        "detail": message,
    }


def note_error(request: Request, error: BaseException) -> None:
    """Add the error's code to the request's log line; its message may quote the request."""
    facts = getattr(request.ctx, "facts", None)
    if facts is not None:
        facts["error_code"] = body_of(error)["error"]["code"]


def raise_if_failed(event: RequestEvent) -> None:
    """Raise the error that an engine reported, if this event is one."""
    if isinstance(event, Failed):
        raise from_wire(event)


def from_wire(event: Failed) -> errors.DistillerError:
    """Return the error that an engine reported by its class name."""
    if event.kind == errors.QueueFull.__name__:
        return errors.QueueFull(event.retry_after_s or _RETRY_AFTER_S)
    if event.kind == errors.ContextOverflow.__name__:
        code = errors.ContextOverflow.code
        return errors.InvalidRequest(event.message, param=event.param, code=code)
    found = _BY_NAME.get(event.kind, errors.EnvironmentFailure)
    return found(event.message, param=event.param)


def _headers(error: BaseException, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(error, SanicException):
        headers.update({str(key): str(value) for key, value in (error.headers or {}).items()})
    if status in (429, 503):
        seconds = getattr(error, "retry_after_s", _RETRY_AFTER_S)
        headers["Retry-After"] = str(seconds)
    if isinstance(error, errors.KeyRefused):
        wrong = ' error="invalid_token"' if error.is_wrong else ""
        headers["WWW-Authenticate"] = f"Bearer{wrong}"
    return headers


class JsonErrorHandler(ErrorHandler):
    """Sanic's last resort, answering in the one JSON shape."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Return the response for any exception a handler or Sanic itself raised."""
        status = status_of(exception)
        if status == 500 and not isinstance(exception, errors.DistillerError):
            log.error("unhandled_error", exc_info=exception)
        config = request.app.config
        limits = Limits(config.REQUEST_MAX_SIZE, config.REQUEST_MAX_HEADER_SIZE)
        body = body_of(exception, limits)
        note_error(request, exception)
        return HTTPResponse(
            msgspec.json.encode(body),
            status=status,
            headers=_headers(exception, status),
            content_type="application/json",
        )
