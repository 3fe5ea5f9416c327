"""What web pages can do: nothing by DNS rebinding or from other origins that are not allowed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.server import LiveServer, user
from tests.live.test_bad_input import error_of

CHAT = "/v1/chat/completions"
ALLOWED = "https://chat.example.org"
EVIL = "https://evil.example"
QUESTION = {"messages": [user("Hello!")], "max_tokens": 1}


def asked(live: LiveServer, request: str) -> bytes:
    """Return the whole answer to a request that is written by hand."""
    with live.connect() as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


# ---------------------------------------------------------------- Host


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST.", "127.0.0.1", "127.0.0.1:1", "[::1]:8000",
     "any.localhost:8000", socket.gethostname()],
)  # fmt: skip
def test_the_servers_own_names_are_served(server: LiveServer, host: str) -> None:
    assert server.http.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
     "192.168.1.1", "a@localhost", "localhost:80:80"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/health", "/models", "/no/such/path"])
def test_other_names_are_refused_and_the_setting_is_named(
    server: LiveServer, host: str, path: str
) -> None:
    error = error_of(server.http.get(path, headers={"Host": host}), 403)
    assert (error["type"], error["code"]) == ("permission_error", "host_not_allowed")
    assert "allowed_hosts" in error["message"]


def test_a_request_has_one_host_but_before_http_1_1(server: LiveServer) -> None:
    assert asked(server, "GET /health/live HTTP/1.1").startswith(b"HTTP/1.1 400")
    two = "GET /health/live HTTP/1.1\nHost: localhost\nHost: evil.example"
    assert asked(server, two).startswith(b"HTTP/1.1 400")
    assert asked(server, "GET /health/live HTTP/1.0").startswith(b"HTTP/1.1 200")


def test_over_a_unix_socket_any_host_will_do(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with LiveServer("--unix-socket", str(path)):
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://anything") as client:
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/live", headers={"Host": ""}).status_code == 200


def test_names_can_be_added_by_the_setting() -> None:
    with LiveServer("--allowed-hosts", '["box.lan"]') as live:
        assert live.http.get("/models", headers={"Host": "box.lan:8000"}).status_code == 200
        assert live.http.get("/models", headers={"Host": "other.lan"}).status_code == 403


def test_with_keys_a_client_may_call_the_server_what_it_likes() -> None:
    key = "laptop-key-0123456789"
    with LiveServer(environment={"DISTILLER_LLM_API_KEYS": f"laptop:{key}"}) as live:
        headers = {"Host": "behind.a.proxy", "Authorization": f"Bearer {key}"}
        assert live.http.get("/models", headers=headers).status_code == 200


# ---------------------------------------------------------------- Origin


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "file://", "nonsense"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_a_page_of_another_origin_cannot_ask(server: LiveServer, origin: str, kind: str) -> None:
    headers = {"Origin": origin, "Content-Type": kind}
    response = server.http.post(CHAT, content=json.dumps(QUESTION), headers=headers)
    error = error_of(response, 403)
    assert (error["code"], error["param"]) == ("origin_not_allowed", "cors_origins")
    assert not any(name.startswith("access-control") for name in response.headers)


def test_a_page_of_the_server_itself_can(server: LiveServer) -> None:
    response = server.http.post(CHAT, json=QUESTION, headers={"Origin": server.url})
    assert response.status_code == 200


def test_without_configured_origins_there_is_no_preflight(server: LiveServer) -> None:
    headers = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    assert server.http.options(CHAT, headers=headers).status_code == 403


# ---------------------------------------------------------------- CORS


@pytest.fixture(scope="module")
def open_server() -> Iterator[LiveServer]:
    """A server with an origin, and a key."""
    environment = {"DISTILLER_LLM_API_KEYS": "page:page-key-0123456789"}
    with LiveServer("--cors-origins", json.dumps([ALLOWED]), environment=environment) as live:
        yield live.wait_healthy()


def test_a_configured_page_asks_first_without_a_key(open_server: LiveServer) -> None:
    wanted = "authorization, content-type, x-stainless-os"
    headers = {
        "Origin": ALLOWED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    }
    response = open_server.http.options(CHAT, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == wanted
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("stream", [False, True])
def test_then_it_asks_with_its_key_and_may_read_the_answer(
    open_server: LiveServer, stream: bool
) -> None:
    headers = {"Origin": ALLOWED, "Authorization": "Bearer page-key-0123456789"}
    response = open_server.http.post(CHAT, json={**QUESTION, "stream": stream}, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert response.headers["vary"] == "Origin"


def test_it_may_read_why_it_is_refused(open_server: LiveServer) -> None:
    response = open_server.http.post(CHAT, json=QUESTION, headers={"Origin": ALLOWED})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == ALLOWED


def test_every_other_page_stays_outside(open_server: LiveServer) -> None:
    headers = {"Origin": EVIL, "Authorization": "Bearer page-key-0123456789"}
    response = open_server.http.get("/models", headers=headers)
    error_of(response, 403)
    assert "access-control-allow-origin" not in response.headers


def test_answers_to_others_are_not_mixed_up_with_a_pages(open_server: LiveServer) -> None:
    response = open_server.http.get("/health")
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers
