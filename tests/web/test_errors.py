"""Every error has one status and one JSON shape, wherever it was raised."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request
from sanic.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    SanicException,
    ServiceUnavailable,
)

from app import errors
from app.api.schemas.common import ErrorBody
from app.errors import DistillerError
from app.protocol import Failed, TextDelta
from app.web.errors import (
    STATUS,
    STATUS_CLIENT_GONE,
    JsonErrorHandler,
    body_of,
    from_wire,
    raise_if_failed,
    status_of,
)

MAX_BODY_BYTES = 1000
MAX_HEADER_BYTES = 2000
SPECIAL_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# Raised before there is anything for an engine.
OF_THE_GATE = {
    errors.KeyRefused,
    errors.HostRefused,
    errors.OriginRefused,
    errors.TooManyRequests,
}


BRANCHES = (DistillerError, errors.CallerError, errors.EnvironmentFailure)


def leaves(kind: type[DistillerError] = DistillerError) -> list[type[DistillerError]]:
    """Return all errors that are raised, also those that have a special kind below them."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    below = [leaf for child in children for leaf in leaves(child)]
    return below if kind in BRANCHES else [kind, *below]


def sample(kind: type[DistillerError]) -> DistillerError:
    if kind is errors.ContextOverflow:
        return errors.ContextOverflow(5000, 4096)
    if kind is errors.QueueFull:
        return errors.QueueFull(7)
    if kind is errors.KeyRefused:
        return errors.KeyRefused(is_wrong=True)
    if kind is errors.TooManyRequests:
        return errors.TooManyRequests(3)
    return kind("something is wrong")


def response(error: Exception) -> tuple[int, Any, dict[str, Any]]:
    """Return status, headers and body of the answer to a request that raised."""
    config = SimpleNamespace(
        REQUEST_MAX_SIZE=MAX_BODY_BYTES, REQUEST_MAX_HEADER_SIZE=MAX_HEADER_BYTES
    )
    request = cast(
        Request, SimpleNamespace(app=SimpleNamespace(config=config), ctx=SimpleNamespace())
    )
    answer = JsonErrorHandler().default(request, error)
    assert answer.content_type == "application/json"
    return answer.status, answer.headers, json.loads(answer.body or b"")


# ---------------------------------------------------------------- the table


def test_the_table_has_a_status_for_every_leaf_and_for_nothing_else() -> None:
    assert set(STATUS) == set(leaves())


@pytest.mark.parametrize("kind", leaves())
def test_the_callers_mistakes_are_4xx_and_failures_of_the_service_5xx(
    kind: type[DistillerError],
) -> None:
    is_callers = issubclass(kind, errors.CallerError)
    assert STATUS[kind] // 100 == (4 if is_callers else 5)
    expected = "invalid_request_error" if is_callers else "server_error"
    expected = SPECIAL_TYPES.get(STATUS[kind], expected)
    assert body_of(sample(kind))["error"]["type"] == expected


@pytest.mark.parametrize("kind", leaves())
def test_an_error_is_answered_with_its_message_twice_its_field_and_its_code(
    kind: type[DistillerError],
) -> None:
    error = sample(kind)
    body = body_of(error)
    assert body["error"]["message"] == body["detail"] == error.message
    assert (body["error"]["param"], body["error"]["code"]) == (error.param, error.code)
    ErrorBody.model_validate(body, strict=True)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("Requested URL /x not found"), 404, "not_found"),
        (MethodNotAllowed("no", "PUT", ["GET"]), 405, "method_not_allowed"),
        (ServiceUnavailable("busy"), 503, "service_unavailable"),
        (SanicException("teapot", status_code=418), 418, "http_error"),
    ],
)
def test_sanics_own_errors_have_the_same_shape(
    error: SanicException, status: int, code: str
) -> None:
    assert status_of(error) == status
    body = body_of(error)
    assert (body["error"]["message"], body["error"]["code"]) == (str(error), code)
    assert body["detail"] == str(error)


def test_the_unforeseen_is_a_500_that_tells_nothing_of_the_inside() -> None:
    body = body_of(KeyError("/etc/secret"))
    assert status_of(KeyError()) == 500
    assert (body["error"]["type"], body["error"]["code"]) == ("server_error", "internal_error")
    assert "secret" not in json.dumps(body)


def test_a_client_that_went_away_is_no_failure_of_the_service() -> None:
    assert status_of(asyncio.CancelledError()) == STATUS_CLIENT_GONE


# ---------------------------------------------------------------- responses


def test_a_body_that_is_too_large_is_told_the_limit() -> None:
    status, _, body = response(PayloadTooLarge("Request body exceeds the size limit"))
    assert status == 413
    assert f"{MAX_BODY_BYTES} bytes (setting max_body_bytes)" in body["detail"]
    assert (body["error"]["code"], body["error"]["param"]) == ("request_too_large", "body")


def test_a_header_that_is_too_large_is_not_taken_for_a_body() -> None:
    status, _, body = response(PayloadTooLarge("Request header exceeds the size limit"))
    assert status == 431
    assert f"{MAX_HEADER_BYTES} bytes (setting max_header_bytes)" in body["detail"]
    assert body["error"]["code"] == "request_header_too_large"


@pytest.mark.parametrize(
    ("is_wrong", "challenge"), [(False, "Bearer"), (True, 'Bearer error="invalid_token"')]
)
def test_a_client_without_a_right_key_is_told_how_to_show_one(
    is_wrong: bool, challenge: str
) -> None:
    status, headers, body = response(errors.KeyRefused(is_wrong=is_wrong))
    assert (status, headers["WWW-Authenticate"]) == (401, challenge)
    error = body["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert "Authorization: Bearer" in error["message"]


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (errors.HostRefused("evil.example"), "allowed_hosts"),
        (errors.OriginRefused("https://evil.example"), "cors_origins"),
    ],
)
def test_what_the_gate_refuses_is_told_with_its_setting(
    error: DistillerError, setting: str
) -> None:
    status, _, body = response(error)
    assert status == 403
    assert body["error"]["param"] == setting
    assert setting in body["detail"]
    assert "evil.example" in body["detail"]


def test_a_client_with_too_much_open_is_told_the_setting_and_when_to_come_back() -> None:
    status, headers, body = response(errors.TooManyRequests(3))
    assert (status, headers["Retry-After"]) == (429, "1")
    assert "3 requests" in body["detail"]
    assert "max_client_requests" in body["detail"]


def test_what_is_worth_a_retry_says_when() -> None:
    status, headers, _ = response(errors.EngineUnavailable("it restarts", retry_after_s=7))
    assert (status, headers["Retry-After"]) == (503, "7")
    assert response(errors.ServiceStopping("bye"))[1]["Retry-After"] == "1"


def test_a_full_queue_is_429_and_says_when_a_retry_is_worth_it() -> None:
    status, headers, body = response(errors.QueueFull(7))
    assert (status, headers["Retry-After"]) == (429, "7")
    assert (body["error"]["type"], body["error"]["code"]) == ("rate_limit_error", "queue_full")
    assert "7 s" in body["detail"]


def test_what_is_not_worth_a_retry_says_nothing_of_one() -> None:
    assert "Retry-After" not in response(errors.InvalidRequest("no"))[1]
    assert "Retry-After" not in response(errors.ModelLoadFailed("no"))[1]
    assert "Retry-After" not in response(errors.DeadlineExceeded("no"))[1]


def test_a_wrong_method_is_told_the_right_ones() -> None:
    status, headers, _ = response(MethodNotAllowed("no", "PUT", ["GET"]))
    assert (status, headers["Allow"]) == (405, "GET")


# ---------------------------------------------------------------- errors of the engine


def failed(error: DistillerError) -> Failed:
    """Return the event by which an engine reports an error."""
    retry_after_s = error.retry_after_s if isinstance(error, errors.QueueFull) else None
    return Failed(
        request_id="r",
        kind=type(error).__name__,
        message=error.message,
        param=error.param,
        retry_after_s=retry_after_s,
    )


@pytest.mark.parametrize("kind", [kind for kind in leaves() if kind not in OF_THE_GATE])
def test_an_error_of_the_engine_is_answered_as_if_raised_here(kind: type[DistillerError]) -> None:
    raised = sample(kind)
    found = from_wire(failed(raised))
    assert response(found) == response(raised)


def test_a_queue_that_is_full_in_the_engine_is_429_with_its_wait() -> None:
    found = from_wire(Failed(request_id="r", kind="QueueFull", message="full", retry_after_s=42))
    status, headers, body = response(found)
    assert (status, headers["Retry-After"]) == (429, "42")
    assert "42 s" in body["error"]["message"]


def test_a_full_queue_without_a_wait_is_worth_a_retry_in_a_second() -> None:
    found = from_wire(Failed(request_id="r", kind="QueueFull", message="full"))
    assert response(found)[1]["Retry-After"] == "1"


def test_a_deadline_that_passed_in_the_engine_is_504() -> None:
    late = "the request took longer than its deadline of 5 s"
    status, _, body = response(
        from_wire(Failed(request_id="r", kind="DeadlineExceeded", message=late))
    )
    assert (status, body["error"]["code"], body["detail"]) == (504, "deadline_exceeded", late)


def test_an_error_of_the_engine_keeps_the_field_at_fault() -> None:
    field = "messages[0].content"
    found = from_wire(Failed(request_id="r", kind="InvalidRequest", message="no", param=field))
    assert found.param == field


@pytest.mark.parametrize("kind", ["NewKind", "EnvironmentFailure", "Exception", ""])
def test_an_unknown_kind_of_error_is_a_failure_of_the_service(kind: str) -> None:
    found = from_wire(Failed(request_id="r", kind=kind, message="it broke"))
    assert status_of(found) == 500
    assert body_of(found)["detail"] == "it broke"
    assert body_of(found)["error"]["type"] == "server_error"


def test_a_failed_event_is_raised_and_any_other_passes() -> None:
    raise_if_failed(TextDelta(request_id="r", text="fine"))
    refused = errors.TemplateRefused("roles must alternate", param="messages")
    with pytest.raises(errors.TemplateRefused, match="roles must alternate") as raised:
        raise_if_failed(failed(refused))
    assert raised.value.param == "messages"
