"""The server serves several sockets on one event loop, and ends with its requests answered."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text

from app.web.listeners import Listener
from app.web.server import HttpServer

TIMEOUT_S = 30.0


class Bench:
    """A server on two sockets whose client runs in a thread; SIGTERM follows the client's end."""

    def __init__(self, app: Sanic[Any, Any]) -> None:
        self.app = app
        self.listeners = [_listener(), _listener()]
        self.ports = [listener.socket.getsockname()[1] for listener in self.listeners]
        self.ended: list[str] = []
        self.failures: list[BaseException] = []
        self.stopping = threading.Event()

    def run(self, client: Callable[[Bench], None], **options: Any) -> HttpServer:
        """Serve until the client has returned and the server has stopped."""
        server = HttpServer(
            self.listeners,
            on_stop=self._on_stop,
            **{
                "stop_timeout_s": lambda: TIMEOUT_S,
                "end_requests": lambda: self.ended.append("requests"),
                **options,
            },
        )
        thread = threading.Thread(target=self._run, args=[client])

        async def start(_app: Any) -> None:
            thread.start()

        self.app.register_listener(start, "before_server_start")
        server.run(self.app)
        thread.join(TIMEOUT_S)
        assert self.failures == []
        return server

    def _on_stop(self) -> None:
        self.ended.append("stop")
        self.stopping.set()

    def _run(self, client: Callable[[Bench], None]) -> None:
        try:
            client(self)
        except BaseException as error:  # shown by the thread that serves
            self.failures.append(error)
        finally:
            if not self.stopping.is_set():
                self.stop()

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def connect(self, number: int = 0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.ports[number], timeout=TIMEOUT_S)

    def get(self, path: str = "/", number: int = 0) -> str:
        with contextlib.closing(self.connect(number)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()


def _listener() -> Listener:
    found = socket.create_server(("127.0.0.1", 0))
    return Listener(found, f"http://127.0.0.1:{found.getsockname()[1]}")


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    app: Sanic[Any, Any] = Sanic(f"bench-{abs(hash(request.node.name))}", configure_logging=False)

    app.config.TOUCHUP = False  # it rewrites classes of Sanic, and can do so once in a process

    async def hello(_request: Request) -> HTTPResponse:
        return text("hello")

    app.add_route(hello, "/")
    made = Bench(app)
    yield made
    for listener in made.listeners:
        listener.close()
    Sanic.unregister_app(app)


def test_every_socket_is_served_and_closed_at_the_end(bench: Bench) -> None:
    answers: list[str] = []
    bench.run(lambda bench: answers.extend(bench.get(number=number) for number in (0, 1)))
    assert answers == ["hello", "hello"]
    assert bench.ended == ["stop"]
    assert all(listener.socket.fileno() == -1 for listener in bench.listeners)


def test_connections_are_accepted_only_when_the_service_is_ready(bench: Bench) -> None:
    order: list[str] = []

    async def ready() -> None:
        order.append("ready")

    def client(bench: Bench) -> None:
        bench.get()  # waits in the socket's queue until then
        order.append("answered")

    bench.run(client, ready=ready)
    assert order == ["ready", "answered"]


def test_a_request_that_is_answered_at_the_stop_finishes_and_closes_its_connection(
    bench: Bench,
) -> None:
    headers: dict[str, str | None] = {}

    async def stop_first(_request: Request) -> HTTPResponse:
        bench.stop()
        await asyncio.to_thread(bench.stopping.wait, TIMEOUT_S)
        return text("finished")

    def client(bench: Bench) -> None:
        with contextlib.closing(bench.connect()) as connection:
            connection.request("GET", "/slow")
            response = connection.getresponse()
            assert response.read() == b"finished"
            headers["connection"] = response.getheader("Connection")

    bench.app.add_route(stop_first, "/slow")
    bench.run(client)
    assert headers == {"connection": "close"}
    assert bench.ended == ["stop"]


def test_requests_that_outlast_the_stop_timeout_are_ended(bench: Bench) -> None:
    release = asyncio.Event()

    async def wait(_request: Request) -> HTTPResponse:
        bench.stop()
        await release.wait()
        return text("ended")

    def client(bench: Bench) -> None:
        assert bench.get("/wait") == "ended"

    def end_requests() -> None:
        bench.ended.append("requests")
        release.set()

    bench.app.add_route(wait, "/wait")
    server = bench.run(client, stop_timeout_s=lambda: 0.01, end_requests=end_requests)
    assert bench.ended == ["stop", "requests"]
    assert server.open_requests() == []


def test_an_idle_connection_is_closed_at_the_stop(bench: Bench) -> None:
    def client(bench: Bench) -> None:
        with contextlib.closing(bench.connect()) as connection:
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello"
            bench.stop()
            assert connection.sock.recv(1) == b""

    bench.run(client)
    assert bench.ended == ["stop"]


def test_a_connection_over_the_limit_is_refused(bench: Bench) -> None:
    def client(bench: Bench) -> None:
        with contextlib.closing(bench.connect()) as connection:
            connection.request("GET", "/")
            assert connection.getresponse().status == 503

    bench.run(client, max_connections=lambda: 0)
