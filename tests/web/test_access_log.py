"""Every request has an id of its own or the client's, one log line, and is counted once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.compat import Header

from app.web import access_log


class App:
    """Takes middleware as Sanic does, and runs it around a handler that does nothing."""

    def __init__(self) -> None:
        self.middleware: list[Any] = []
        self.counted: list[int] = []
        access_log.install(cast(Sanic[Any, Any], self), self.counted.append)

    def register_middleware(self, middleware: Any, *_: Any, **__: Any) -> None:
        self.middleware.append(middleware)

    async def begin(self, **headers: str) -> Request:
        request = SimpleNamespace(
            headers=Header({name.replace("_", "-"): value for name, value in headers.items()}),
            ctx=SimpleNamespace(),
            method="GET",
            path="/models",
        )
        await self.middleware[0](request)
        return cast(Request, request)

    async def end(self, request: Request, status: int) -> HTTPResponse:
        response = HTTPResponse(status=status)
        await self.middleware[2](request, response)
        return response


async def test_an_answer_is_counted_with_its_status() -> None:
    app = App()
    await app.end(await app.begin(), 404)
    await app.end(await app.begin(), 200)
    assert app.counted == [404, 200]


async def test_a_stream_is_counted_by_its_handler_once() -> None:
    app = App()
    request = await app.begin()
    access_log.begin_stream(request)
    await app.end(request, 200)
    assert app.counted == []
    access_log.write(request, 503)
    access_log.write(request, 200)
    assert app.counted == [503]


@pytest.mark.parametrize(
    ("offered", "is_taken"), [("abc-1", True), ("a b", False), ("x" * 129, False), ("", False)]
)
async def test_an_id_that_a_client_offers_is_taken_where_it_is_one(
    offered: str, is_taken: bool
) -> None:
    app = App()
    request = await app.begin(x_request_id=offered)
    response = await app.end(request, 200)
    assert (response.headers["X-Request-ID"] == offered) is is_taken
    assert response.headers["X-Request-ID"] == response.headers["request-id"]
