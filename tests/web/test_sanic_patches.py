"""Clients of HTTP/1.0 get what they can read: no chunks, and the end of the connection."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text

from tests.web.test_server import TIMEOUT_S, Bench, bench

__all__ = ["bench"]


def routes(app: Sanic[Any, Any]) -> None:
    async def stream(request: Request) -> None:
        response = await request.respond(content_type="text/event-stream")
        for piece in ("data: a\n\n", "", "data: b\n\n"):
            await response.send(piece)
        await response.send("", end_stream=True)

    async def unended(request: Request) -> None:
        response = await request.respond()
        await response.send("all")

    async def sized(request: Request) -> None:
        response = await request.respond(headers={"content-length": "4"})
        await response.send("si")
        await response.send("ze", end_stream=True)

    async def echo(request: Request) -> HTTPResponse:
        return text(request.body.decode())

    app.add_route(stream, "/stream", methods=["GET", "HEAD", "POST"])
    app.add_route(unended, "/unended")
    app.add_route(sized, "/sized")
    app.add_route(echo, "/echo", methods=["POST"])


def exchange(bench: Bench, sent: bytes) -> bytes:
    """Return all that comes for a request, up to the end of the connection."""
    received = b""

    def client(bench: Bench) -> None:
        nonlocal received
        address = "127.0.0.1", bench.ports[0]
        with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
            connection.sendall(sent)
            while data := connection.recv(65536):
                received += data

    routes(bench.app)
    bench.run(client)
    return received


def parts(answer: bytes) -> tuple[dict[str, str], bytes]:
    """Return the header fields and the body as it was sent."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    fields = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in fields}, body


@pytest.mark.parametrize("more", ["", "Connection: keep-alive\r\n", "Connection: close\r\n"])
@pytest.mark.parametrize(
    ("path", "wanted"), [("/stream", b"data: a\n\ndata: b\n\n"), ("/unended", b"all")]
)
def test_a_stream_is_unframed_and_ends_with_the_connection(
    bench: Bench, path: str, wanted: bytes, more: str
) -> None:
    fields, body = parts(exchange(bench, f"GET {path} HTTP/1.0\r\n{more}\r\n".encode()))
    assert body == wanted
    assert "transfer-encoding" not in fields
    assert "content-length" not in fields
    assert fields["connection"] == "close"


def test_http_1_1_still_gets_chunks(bench: Bench) -> None:
    request = b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    fields, body = parts(exchange(bench, request))
    assert fields["transfer-encoding"] == "chunked"
    assert body == b"9\r\ndata: a\n\n\r\n9\r\ndata: b\n\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(("path", "length"), [("/", "5"), ("/sized", "4")])
def test_a_response_of_known_length_says_it(bench: Bench, path: str, length: str) -> None:
    fields, body = parts(exchange(bench, f"GET {path} HTTP/1.0\r\n\r\n".encode()))
    assert fields["content-length"] == length == str(len(body))
    assert fields["connection"] == "close"


def test_a_connection_is_kept_for_whole_responses_if_the_client_asks(bench: Bench) -> None:
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answers = exchange(bench, kept + b"GET / HTTP/1.0\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"connection: keep-alive") == 1


def test_head_of_a_stream_has_no_body(bench: Bench) -> None:
    fields, body = parts(exchange(bench, b"HEAD /stream HTTP/1.0\r\n\r\n"))
    assert body == b""
    assert "transfer-encoding" not in fields


def test_head_of_a_stream_of_chunks_has_no_body_and_keeps_the_connection(bench: Bench) -> None:
    head = b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n"
    get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    first, _, second = exchange(bench, head + get).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert b"data:" not in second


def test_no_interim_response_is_sent(bench: Bench) -> None:
    request = b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    _, body = parts(exchange(bench, request))
    assert body == b"hi"


def test_a_body_in_chunks_is_refused_and_nothing_after_it_is_read(bench: Bench) -> None:
    request = b"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    smuggled = b"2\r\nhi\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    answer = exchange(bench, request + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
