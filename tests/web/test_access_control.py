"""A client shows its key in one of two headers, and every key it shows has to be known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request, Sanic
from sanic.compat import Header

from app.errors import KeyRefused, TooManyRequests
from app.web import access_control
from app.web.access_control import AccessPolicy, is_authenticated
from app.web.api_keys import ApiKeys

LAPTOP, PHONE, WRONG = "laptop-key-0123456789", "phone-key-9876543210", "wrong-key-0123456789"
KEYS = ApiKeys(
    tuple(
        (name, hashlib.sha256(key.encode()).digest())
        for name, key in (("laptop", LAPTOP), ("phone", PHONE))
    )
)


def request_with(headers: dict[str, str], path: str = "/models") -> Request:
    """Return what the gate sees of a request over a unix socket."""
    conn_info = SimpleNamespace(sockname="/run/socket", client_ip="")
    ctx = SimpleNamespace(facts={})
    found = SimpleNamespace(
        conn_info=conn_info,
        ctx=ctx,
        headers=Header(headers),
        method="GET",
        path=path,
        stream=None,
        version="1.1",
    )
    return cast(Request, found)


async def admit(
    request: Request, policy: AccessPolicy, open_requests: Iterable[Request] = ()
) -> None:
    installed: list[Any] = []
    app = SimpleNamespace(
        register_middleware=lambda middleware, *_, **__: installed.append(middleware)
    )
    access_control.install(cast(Sanic[Any, Any], app), lambda: policy, lambda: open_requests)
    await installed[0](request)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def plain(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (bearer(LAPTOP), "laptop"),
        (plain(LAPTOP), "laptop"),
        (plain(f"  {PHONE} "), "phone"),
        (bearer(LAPTOP) | plain(LAPTOP), "laptop"),
        (bearer(PHONE) | plain(LAPTOP), "phone"),
        ({"Authorization": "Basic abc"} | plain(PHONE), "phone"),
    ],
)
async def test_a_known_key_is_named_whichever_header_shows_it(
    headers: dict[str, str], name: str
) -> None:
    request = request_with(headers)
    await admit(request, AccessPolicy(keys=KEYS))
    assert is_authenticated(request)
    assert request.ctx.facts == {"key_name": name}


@pytest.mark.parametrize(
    "headers",
    [
        bearer(WRONG),
        plain(WRONG),
        bearer(LAPTOP) | plain(WRONG),
        bearer(WRONG) | plain(LAPTOP),
        plain(f"Bearer {LAPTOP}"),
    ],
)
async def test_a_wrong_key_is_refused_even_beside_a_right_one(headers: dict[str, str]) -> None:
    with pytest.raises(KeyRefused) as refused:
        await admit(request_with(headers), AccessPolicy(keys=KEYS))
    assert refused.value.is_wrong


async def test_a_wrong_key_is_refused_behind_a_right_one_in_the_same_header() -> None:
    for right, wrong in ((bearer(LAPTOP), bearer(WRONG)), (plain(LAPTOP), plain(WRONG))):
        request = request_with(right)
        request.headers.extend(wrong)
        with pytest.raises(KeyRefused):
            await admit(request, AccessPolicy(keys=KEYS))


@pytest.mark.parametrize("headers", [{}, plain(""), {"Authorization": "Bearer"}])
async def test_no_key_is_refused_as_that(headers: dict[str, str]) -> None:
    with pytest.raises(KeyRefused) as refused:
        await admit(request_with(headers), AccessPolicy(keys=KEYS))
    assert not refused.value.is_wrong


@pytest.mark.parametrize("headers", [{}, bearer(WRONG), plain(WRONG)])
async def test_where_no_keys_are_configured_everybody_is_known(headers: dict[str, str]) -> None:
    request = request_with(headers)
    await admit(request, AccessPolicy())
    assert is_authenticated(request)


@pytest.mark.parametrize(("headers", "known"), [({}, False), (plain(PHONE), True)])
async def test_health_is_open_and_tells_details_to_who_is_known(
    headers: dict[str, str], known: bool
) -> None:
    request = request_with(headers, "/health")
    await admit(request, AccessPolicy(keys=KEYS))
    assert is_authenticated(request) is known


async def test_what_a_client_has_open_counts_by_key_whichever_header_shows_it() -> None:
    policy = AccessPolicy(keys=KEYS, max_client_requests=1)
    first = request_with(bearer(LAPTOP))
    await admit(first, policy)
    await admit(request_with(plain(PHONE)), policy, [first])
    with pytest.raises(TooManyRequests):
        await admit(request_with(plain(LAPTOP)), policy, [first])
