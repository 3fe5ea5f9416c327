"""Pages of other origins are refused unless they are allowed; browsers are told which are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from sanic import HTTPResponse, Request
from sanic.compat import Header

from app.errors import OriginRefused
from app.web.cors import add_headers, check_origin, is_preflight, preflight_response

PAGE = "https://chat.example.org"
ALLOWED = frozenset({PAGE})
NONE: frozenset[str] = frozenset()


def request(method: str = "GET", **headers: str) -> Request:
    given = Header({name.replace("_", "-"): value for name, value in headers.items()})
    return cast(Request, SimpleNamespace(method=method, headers=given))


# ---------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, NONE),
        ({"origin": PAGE}, ALLOWED),
        ({"origin": PAGE.upper()}, ALLOWED),
        ({"origin": "https://any.example"}, frozenset({"*"})),
        ({"origin": "http://box.lan:8000", "host": "box.lan:8000"}, NONE),
        ({"origin": "https://Box.lan", "host": "box.LAN"}, NONE),
    ],
)
def test_own_pages_and_allowed_origins_pass(
    headers: dict[str, str], allowed: frozenset[str]
) -> None:
    check_origin(request(**headers), allowed)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "host": "box.lan"},
        {"origin": "https://box.lan:81", "host": "box.lan"},
        {"origin": "null", "host": "box.lan"},
        {"origin": "null", "host": ""},
        {"origin": "http://", "host": ""},
        {"origin": "ftp://box.lan", "host": "box.lan"},
        {"origin": "http://[::1", "host": "[::1"},
    ],
)
def test_other_origins_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(OriginRefused):
        check_origin(request(**headers), ALLOWED)


# ---------------------------------------------------------------- preflight


def test_a_preflight_is_an_options_request_with_origin_and_method() -> None:
    headers = {"origin": PAGE, "access_control_request_method": "POST"}
    assert is_preflight(request("OPTIONS", **headers))
    assert not is_preflight(request("POST", **headers))
    assert not is_preflight(request("OPTIONS", origin=PAGE))
    assert not is_preflight(request("OPTIONS", access_control_request_method="POST"))


def test_a_preflight_allows_the_requested_headers() -> None:
    asked = request("OPTIONS", access_control_request_headers="x-api-key, x-custom")
    assert preflight_response(asked).headers["Access-Control-Allow-Headers"] == (
        "x-api-key, x-custom"
    )


@pytest.mark.parametrize("names", ["", "x\r\nSet-Cookie: a", "x" * 2001])
def test_header_names_that_are_none_are_not_echoed(names: str) -> None:
    response = preflight_response(request("OPTIONS", access_control_request_headers=names))
    allowed = response.headers["Access-Control-Allow-Headers"]
    assert {"Authorization", "X-API-Key"} <= set(allowed.split(", "))


def test_a_preflight_response_is_cached_for_a_while() -> None:
    response = preflight_response(request("OPTIONS"))
    assert response.status == 204
    assert response.headers["Access-Control-Max-Age"] == "600"


# ---------------------------------------------------------------- response headers


def headers_of(asked: Request, allowed: frozenset[str]) -> dict[str, str]:
    response = HTTPResponse()
    add_headers(asked, response, allowed)
    return {name.lower(): value for name, value in response.headers.items()}


def test_without_allowed_origins_no_header_is_added() -> None:
    assert headers_of(request(origin=PAGE), NONE) == {}


def test_an_allowed_origin_may_read_the_response() -> None:
    found = headers_of(request(origin=PAGE), ALLOWED)
    assert found["access-control-allow-origin"] == PAGE
    assert found["vary"] == "Origin"
    assert "X-Request-ID" in found["access-control-expose-headers"]


@pytest.mark.parametrize("headers", [{}, {"origin": "https://evil.example"}])
def test_other_responses_only_say_that_they_vary(headers: dict[str, str]) -> None:
    assert headers_of(request(**headers), ALLOWED) == {"vary": "Origin"}


def test_the_response_to_options_varies_with_the_requested_headers() -> None:
    found = headers_of(request("OPTIONS"), ALLOWED)
    assert found["vary"] == "Origin, Access-Control-Request-Headers"
