"""Every error has one status and one JSON shape, wherever it was raised."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sanic.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RequestCancelled,
    SanicException,
    ServiceUnavailable,
)

from app import errors
from app.api.schemas.common import ErrorBody
from app.errors import DistillerError
from app.web.errors import (
    STATUS,
    STATUS_CLIENT_GONE,
    Fault,
    fault_of,
    status_of,
)
from tests.web.error_samples import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    body_of,
    leaves,
    response,
    sample,
)

SPECIAL_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
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
    for error in (asyncio.CancelledError(), RequestCancelled()):
        assert status_of(error) == STATUS_CLIENT_GONE
        assert fault_of(error).code == "client_closed_request"


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
    assert "'Authorization: Bearer KEY' or 'x-api-key: KEY'" in error["message"]


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
    assert "3 open requests" in body["detail"]
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


def test_a_path_may_have_a_shape_of_its_own() -> None:
    def shape(fault: Fault) -> dict[str, Any]:
        return {"problem": fault.message, "why": [fault.status, fault.code, fault.param]}

    status, _, body = response(errors.InvalidRequest("too hot", param="temperature"), shape)
    assert status == 400
    assert body == {"problem": "too hot", "why": [400, "invalid_value", "temperature"]}
