"""Owns how errors become HTTP responses: the table of statuses, and the default body.

A dialect may have a body of its own; `error_body` is the default.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sanic import HTTPResponse, Request
from sanic.exceptions import SanicException
from sanic.handlers import ErrorHandler

from app import errors
from app.logs import get_logger

STATUS: dict[type[errors.DistillerError], int] = {
    errors.InvalidRequest: 400,
    errors.ContextOverflow: 400,
    errors.TemplateRefused: 400,
    errors.TemplateTooSlow: 400,
    errors.GrammarFailed: 400,
    errors.ModelNotFound: 404,
    errors.ModelFileRefused: 400,
    errors.ModelInUse: 409,
    errors.AnswerNotFound: 404,
    errors.LoadParamsRefused: 400,
    errors.KeyRefused: 401,
    errors.HostRefused: 403,
    errors.OriginRefused: 403,
    errors.TooManyRequests: 429,
    errors.TooManyAnswers: 429,
    errors.QueueFull: 429,
    errors.SettingsInvalid: 500,
    errors.ModelsFolderFailed: 500,
    errors.ModelsFolderFull: 507,
    errors.ModelLoadFailed: 500,
    errors.ModelTooLarge: 507,
    errors.NoModelLoaded: 503,
    errors.NotSupported: 501,
    errors.EngineUnavailable: 503,
    errors.EngineDied: 503,
    errors.RequestQuarantined: 500,
    errors.ServiceStopping: 503,
    errors.DeadlineExceeded: 504,
}
STATUS_CLIENT_GONE = 499  # nobody gets it: it is for the log
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

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_HEADER_TOO_LARGE = "Request header exceeds the size limit"  # the message of Sanic's exception

log = get_logger("api")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that Sanic's errors do not mention."""

    max_body_bytes: int
    max_header_bytes: int


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as clients see it, independent of the shape of the body.

    Args:
        param: dotted name of the invalid request field or setting, if any.
        code: short machine-readable name.
        request_id: that of the request, where it has one.
        requested: tokens of a prompt that is too long, in other errors 0.
        n_ctx: tokens of the context window that it exceeds.
    """

    status: int
    message: str
    param: str | None
    code: str | None
    request_id: str = ""
    requested: int = 0
    n_ctx: int = 0


ErrorShape = Callable[[Fault], Mapping[str, Any]]
"""Returns the JSON body of an error."""


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error; 500 for unexpected ones."""
    if isinstance(error, errors.DistillerError):
        return STATUS.get(type(error), 500)
    if isinstance(error, SanicException):
        return 431 if str(error) == _HEADER_TOO_LARGE else int(error.status_code)
    return STATUS_CLIENT_GONE if isinstance(error, asyncio.CancelledError) else 500


def fault_of(error: BaseException, limits: Limits | None = None) -> Fault:
    """Return an error as clients see it."""
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
    elif status == STATUS_CLIENT_GONE:
        message, code = "The client closed the connection", "client_closed_request"
    message = message.encode(errors="backslashreplace").decode()  # may quote lone surrogates
    if isinstance(error, errors.ContextOverflow):
        return Fault(status, message, param, code, requested=error.requested, n_ctx=error.n_ctx)
    return Fault(status, message, param, code)


def error_body(fault: Fault) -> dict[str, Any]:
    """Return the JSON body of an error in OpenAI's shape, the default."""
    kind = "invalid_request_error" if fault.status < 500 else "server_error"
    kind = _KINDS.get(fault.status, kind)
    return {
        "error": {
            "message": fault.message,
            "type": kind,
            "param": fault.param,
            "code": fault.code,
        },
        "detail": fault.message,
    }


def note_error(request: Request, error: BaseException) -> None:
    """Add the error's code to the request's log line; its message may quote the request."""
    facts = getattr(request.ctx, "facts", None)
    if facts is not None:
        facts["error_code"] = fault_of(error).code


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
    """Sanic's error handler, answering in JSON.

    Args:
        shape_of: returns the shape of the errors of a path.
        statuses_of: returns the statuses that differ at a path, by error code.
    """

    def __init__(
        self,
        shape_of: Callable[[str], ErrorShape] = lambda _path: error_body,
        statuses_of: Callable[[str], Mapping[str, int]] = lambda _path: {},
    ) -> None:
        super().__init__()
        self._shape_of = shape_of
        self._statuses_of = statuses_of

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Return the response for any exception a handler or Sanic itself raised."""
        status = status_of(exception)
        if status == 500 and not isinstance(exception, errors.DistillerError):
            log.error("unhandled_error", exc_info=exception)
        config = request.app.config
        limits = Limits(config.REQUEST_MAX_SIZE, config.REQUEST_MAX_HEADER_SIZE)
        request_id = str(getattr(request.ctx, "request_id", ""))
        fault = dataclasses.replace(fault_of(exception, limits), request_id=request_id)
        status = self._statuses_of(request.path).get(fault.code or "", status)
        fault = dataclasses.replace(fault, status=status)
        body = self._shape_of(request.path)(fault)
        note_error(request, exception)
        return HTTPResponse(
            msgspec.json.encode(body),
            status=status,
            headers=_headers(exception, status),
            content_type="application/json",
        )
