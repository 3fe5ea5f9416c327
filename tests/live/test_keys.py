"""API keys on the real server: what needs one, who is known, and what is never told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.live.server import NANO, SERVE, LiveServer, user
from tests.live.test_bad_input import error_of
from tests.systemd.fake_systemd import handing_over, tcp_listener

LAPTOP = "laptop-key-0123456789"
PHONE = "phone-key-9876543210"
CHAT = "/v1/chat/completions"
POLLED = {"status", "message", "model_loaded", "current_model"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Guarded:
    """A server that needs keys."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "api-keys"
        self.file.write_text(f"# whose\nlaptop:{LAPTOP}\nphone:{PHONE}\n")
        self.live = LiveServer("--api-keys-file", str(self.file)).wait_healthy()
        self.http = self.live.http

    def reload(self, text: str, event: str = "reloaded") -> None:
        before = len(self.live.log(event))
        self.file.write_text(text)
        self.live.process.send_signal(signal.SIGHUP)
        self.live.wait_until(lambda: len(self.live.log(event)) > before)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("keys"))
    with made.live:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path)
    with made.live:
        yield made


# ---------------------------------------------------------------- what needs a key


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/models"),
        ("GET", f"/v1/models/{NANO}"),
        ("GET", "/metrics"),
        ("GET", "/cache"),
        ("DELETE", "/cache"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/no/such/path"),
        ("POST", "/setModel"),
        ("POST", "/restore_cache"),
        ("POST", "/tokenize"),
        ("POST", CHAT),
        ("PUT", CHAT),
        ("OPTIONS", CHAT),
        ("POST", "/health/"),
    ],
)
@pytest.mark.parametrize("shown", [{}, bearer("wrong-key-0123456789")], ids=["none", "wrong"])
def test_every_request_needs_a_key(
    guarded: Guarded, method: str, path: str, shown: dict[str, str]
) -> None:
    response = guarded.http.request(method, path, headers=shown)
    error = error_of(response, 401)
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "shown",
    [
        LAPTOP,
        f"Basic {LAPTOP}",
        f"Bearer{LAPTOP}",
        "Bearer",
        f"Bearer {LAPTOP}x",
        f"Bearer laptop:{LAPTOP}",
        f"Bearer {LAPTOP.upper()}",
    ],
)
def test_a_key_is_shown_in_one_way_only(guarded: Guarded, shown: str) -> None:
    error_of(guarded.http.get("/models", headers={"Authorization": shown}), 401)
    error_of(guarded.http.get("/models", params={"api_key": LAPTOP}), 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_the_door(guarded: Guarded, scheme: str) -> None:
    response = guarded.http.get("/models", headers={"Authorization": f"{scheme} {PHONE}"})
    assert response.json()["models"] == [NANO]


def test_a_key_opens_the_door_in_the_header_of_other_dialects_too(guarded: Guarded) -> None:
    right, wrong = {"x-api-key": PHONE}, {"x-api-key": "wrong-key-0123456789"}
    assert guarded.http.get("/models", headers=right).json()["models"] == [NANO]
    assert guarded.http.get("/models", headers=right | bearer(LAPTOP)).status_code == 200
    for headers in (wrong, wrong | bearer(LAPTOP), right | bearer("wrong-key-0123456789")):
        error_of(guarded.http.get("/models", headers=headers), 401)


def test_a_body_that_waits_for_leave_gets_it_with_a_key(guarded: Guarded) -> None:
    body = b'{"content":"Hello"}'
    head = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    head += f"Authorization: Bearer {LAPTOP}\r\nContent-Length: {len(body)}\r\n\r\n"
    with guarded.live.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_body_is_not_waited_for_where_the_key_is_missing(guarded: Guarded) -> None:
    with guarded.live.connect() as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer


# ---------------------------------------------------------------- health


@pytest.mark.parametrize("shown", [{}, bearer("wrong-key-0123456789")], ids=["none", "wrong"])
def test_health_is_polled_without_a_key_and_tells_no_details(
    guarded: Guarded, shown: dict[str, str]
) -> None:
    response = guarded.http.get("/health", headers=shown)
    assert response.status_code == 200
    assert response.json().keys() == POLLED
    assert response.json()["message"] == "Server is healthy and model is loaded"
    assert guarded.http.head("/health").status_code == 200
    assert guarded.http.get("/health/live").json() == {"status": "ok"}


@pytest.mark.parametrize("framing", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_health_takes_no_body_of_anybody(guarded: Guarded, framing: str) -> None:
    with guarded.live.connect() as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer
    assert guarded.http.get("/health", headers={"Content-Length": "0"}).status_code == 200


def test_health_has_its_details_for_a_key(guarded: Guarded) -> None:
    body = guarded.http.get("/health", headers=bearer(LAPTOP)).json()
    assert body.keys() > POLLED
    assert body["engine"]["n_ctx"]


def test_health_is_503_without_a_model_and_tells_strangers_no_reason(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"laptop:{LAPTOP}\n")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    options = ("--models-dir", str(tmp_path), "--api-keys-file", str(keys))
    with LiveServer(*options) as live:
        live.wait_until(lambda: live.health["status"] == "error")
        response = live.http.get("/health")
        assert response.status_code == 503
        assert "broken.gguf" not in response.text
        assert "broken.gguf" in live.http.get("/health", headers=bearer(LAPTOP)).text


def test_the_description_says_that_a_key_is_needed(guarded: Guarded) -> None:
    described = guarded.http.get("/openapi.json", headers=bearer(LAPTOP)).json()
    assert described["security"] == [{"bearerAuth": []}, {"apiKeyAuth": []}]
    assert described["paths"]["/health/live"]["get"]["security"] == []


# ---------------------------------------------------------------- OpenAI's client


def test_the_openai_client_works_with_its_key_and_is_told_of_a_wrong_one(
    guarded: Guarded,
) -> None:
    base = f"{guarded.live.url}/v1"
    messages: Any = [user("Hello!")]
    with openai.OpenAI(base_url=base, api_key=LAPTOP, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [NANO]
        stream = client.chat.completions.create(
            model=NANO, messages=messages, max_tokens=3, stream=True
        )
        assert [piece.choices[0].finish_reason for piece in stream][-1] == "length"
    with (
        openai.OpenAI(base_url=base, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.chat.completions.create(model=NANO, messages=messages)
    assert refused.value.code == "invalid_api_key"
    assert refused.value.type == "authentication_error"


# ---------------------------------------------------------------- the log


def test_the_log_names_the_key_and_never_shows_it(guarded: Guarded) -> None:
    for key, name in ((LAPTOP, "laptop"), (PHONE, "phone")):
        request_id = f"by-{name}"
        guarded.http.get("/models", headers=bearer(key) | {"X-Request-ID": request_id})
        line = guarded.live.wait_for_log("request", request_id=request_id)
        assert line["key_name"] == name
    guarded.http.get("/models", headers={"X-Request-ID": "by-nobody"} | bearer("sk-mistyped"))
    line = guarded.live.wait_for_log("request", request_id="by-nobody")
    assert (line["status"], line["error_code"]) == (401, "invalid_api_key")
    assert "key_name" not in line
    told = "".join(guarded.live.raw)
    assert not any(key in told for key in (LAPTOP, PHONE, "sk-mistyped"))


def test_no_endpoint_shows_a_key(guarded: Guarded) -> None:
    for path in ("/health", "/metrics", "/openapi.json", "/docs", "/cache"):
        text = guarded.http.get(path, headers=bearer(LAPTOP)).text
        assert LAPTOP not in text
        assert PHONE not in text


# ---------------------------------------------------------------- reload


def test_a_reload_lets_new_keys_in_and_old_ones_out(own: Guarded) -> None:
    new = "tablet-key-1357924680"
    own.reload(f"laptop:{LAPTOP}\ntablet:{new}\n")
    assert own.live.wait_for_log("api_keys_changed")["names"] == ["laptop", "tablet"]
    assert own.http.get("/models", headers=bearer(LAPTOP)).status_code == 200
    assert own.http.get("/models", headers=bearer(new)).status_code == 200
    assert own.http.get("/models", headers=bearer(PHONE)).status_code == 401
    assert new not in "".join(own.live.raw)


@pytest.mark.parametrize("text", ["", "# all gone\n", "laptop: too short\n"])
def test_a_file_that_went_wrong_leaves_the_keys_as_they_were(own: Guarded, text: str) -> None:
    own.reload(text, event="reload_failed")
    assert own.http.get("/models").status_code == 401
    assert own.http.get("/models", headers=bearer(LAPTOP)).status_code == 200


# ---------------------------------------------------------------- places


def test_keys_come_from_the_environment_and_from_systemd(tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text(f"phone:{PHONE}\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "DISTILLER_LLM_API_KEYS": f"laptop:{LAPTOP}",
    }
    with LiveServer(environment=environment) as live:
        for key, status in ((LAPTOP, 200), (PHONE, 200), ("other-key-0123456789", 401)):
            assert live.http.get("/models", headers=bearer(key)).status_code == status
        shown = live.wait_healthy().http.get("/health", headers=bearer(LAPTOP)).json()
        engine = Path(f"/proc/{shown['engine']['pid']}/environ").read_text()
        assert LAPTOP not in engine
        assert "CREDENTIALS_DIRECTORY" not in engine


@pytest.mark.parametrize("way", ["host", "socket"])
def test_other_machines_are_let_in_with_a_key_or_by_the_setting_only(
    tmp_path: Path, way: str
) -> None:
    (tmp_path / "api-keys").write_text(f"phone:{PHONE}\n")
    with tcp_listener("0.0.0.0") as tcp:
        options: dict[str, Any] = {}
        arguments: tuple[str, ...] = ("--host", "0.0.0.0")
        if way == "socket":
            options = {"command": (*handing_over(tcp), *SERVE), "pass_fds": (tcp.fileno(),)}
            arguments = ()
        with pytest.raises(AssertionError, match="allow_unauthenticated"):
            LiveServer(*arguments, **options)
        with LiveServer(*arguments, "--allow-unauthenticated", **options) as live:
            assert _local(live, "/models").status_code == 200
        environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        with LiveServer(*arguments, environment=environment, **options) as live:
            assert _local(live, "/models").status_code == 401
            assert _local(live, "/models", bearer(PHONE)).status_code == 200


def _local(live: LiveServer, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.get(live.url.replace("0.0.0.0", "127.0.0.1") + path, headers=headers)
