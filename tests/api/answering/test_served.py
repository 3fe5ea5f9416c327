"""Every endpoint finds a model by any of its names, and every answer has its limit.

The real service with engines that only pretend. Also tests `app.api.endpoints.models`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.route import Route
from app.api.routes import DIALECTS, RouteTable
from tests.live.server import LiveServer, user
from tests.models.gguf_files import write_llama

pytestmark = pytest.mark.slow  # starts servers

FILE, OTHER = "First.gguf", "second.gguf"
LAPTOP, KITCHEN = "l" * 16, "k" * 16
LIMIT, OF_THE_KITCHEN = 30, 50
CONFIG = """
max_tokens_limit = 30
[[models]]
name = "first"
aliases = ["assistant", "claude-local"]
[[clients]]
name = "kitchen"
max_tokens_limit = 50
"""
CHAT: dict[str, Any] = {"messages": [user("Hi")]}
PROMPT: dict[str, Any] = {"prompt": "Hi"}
WHOLE = {"model": FILE, "stream": False}
MANY = 64_000
# A path of each dialect, a body, and the field that bounds the answer.
BOUNDED: dict[str, tuple[dict[str, Any], str]] = {
    "/v1/chat/completions": (CHAT, "max_tokens"),
    "/v1/completions": (PROMPT, "max_tokens"),
    "/completion": (PROMPT, "n_predict"),
    "/v1/messages": (CHAT | {"max_tokens": MANY}, "max_tokens"),
    "/v1/responses": ({"input": "Hi"}, "max_output_tokens"),
    "/api/chat": (CHAT | WHOLE, "options.num_predict"),
    "/api/generate": (PROMPT | WHOLE, "options.num_predict"),
}
ASKED = [(path, body) for path, (body, _) in BOUNDED.items()]
NAMES = [
    "First.gguf",
    "First",
    "first.gguf:latest",
    "FIRST:latest",
    "assistant",
    "Assistant:latest",
]


class Service(LiveServer):
    """The service with two models that are only headers, and two clients."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._notes = folder / "notes"
        (folder / "config.toml").write_text(CONFIG)
        for name in (FILE, OTHER):
            write_llama(folder / name)
        super().__init__(
            *("--models-dir", str(folder), "--cache-dir", str(folder / "cache")),
            *("--config", str(folder / "config.toml"), "--model-name", FILE, *arguments),
            command=("-m", "tests.api.fake_service", "serve"),
            environment={
                "FAKE_ENGINE_NOTES": str(self._notes),
                "DISTILLER_LLM_API_KEYS": f"laptop:{LAPTOP},kitchen:{KITCHEN}",
            },
        )
        self.http.headers["x-api-key"] = LAPTOP

    def post(self, path: str, body: dict[str, Any], **fields: Any) -> httpx.Response:
        return self.http.post(path, json={**body, **fields})

    def last_generate(self) -> dict[str, Any]:
        """Return the last command for an answer that an engine was sent."""
        told = [json.loads(line) for line in self._notes.read_text().splitlines()]
        found: dict[str, Any] = [each for each in told if each["type"] == "Generate"][-1]
        return found


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("strict")) as live:
        live.wait_healthy()
        yield live


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("lenient"), "--unknown-model", "default") as live:
        live.wait_healthy()
        yield live


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(("path", "body"), ASKED)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_has_the_name_that_was_asked_for(
    strict: Service, path: str, body: dict[str, Any], name: str
) -> None:
    answer = strict.post(path, body, model=name).json()
    assert answer["model"] == name


@pytest.mark.parametrize(("path", "body"), ASKED[:3])
def test_without_a_name_it_has_the_file_name(
    strict: Service, path: str, body: dict[str, Any]
) -> None:
    for fields in ({}, {"model": None}):
        assert strict.post(path, body, **fields).json()["model"] == FILE


@pytest.mark.parametrize(("path", "body"), ASKED[:2])
def test_a_stream_has_the_name_in_each_chunk(
    strict: Service, path: str, body: dict[str, Any]
) -> None:
    lines = strict.post(path, body, model="assistant", stream=True).text.split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert {chunk["model"] for chunk in chunks} == {"assistant"}


@pytest.mark.parametrize("name", NAMES)
def test_every_endpoint_takes_every_name(strict: Service, name: str) -> None:
    assert strict.http.get(f"/v1/models/{name}").json()["id"] == FILE
    assert strict.http.post("/setModel", json={"model_name": name}).json()["model"] == FILE
    assert strict.post("/restore_cache", CHAT, model=name).json()["model"] == FILE
    assert strict.http.delete("/cache", params={"model": name}).status_code == 200


@pytest.mark.parametrize(("path", "body"), [*ASKED, ("/restore_cache", CHAT)])
def test_an_unknown_name_is_refused_with_the_names_there_are(
    strict: Service, path: str, body: dict[str, Any]
) -> None:
    refused = strict.post(path, body, model="gpt-4o")
    assert refused.status_code == 404
    if path.startswith("/api/"):  # Ollama's own words
        assert refused.json()["error"] == "model 'gpt-4o' not found"
    else:
        assert f"{FILE}, {OTHER}, with the aliases assistant" in refused.text


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_an_unknown_name_may_mean_the_model_that_serves(
    lenient: Service, path: str, body: dict[str, Any]
) -> None:
    answer = lenient.post(path, body, model="gpt-4o")
    assert (answer.status_code, answer.json()["model"]) == (200, "gpt-4o")
    assert lenient.http.get("/v1/models/gpt-4o").json()["id"] == FILE
    assert lenient.http.get("/health").json()["current_model"] == FILE


def test_what_would_answer_to_an_unknown_name_is_described(
    strict: Service, lenient: Service
) -> None:
    asked = {"model": "gpt-4o"}
    assert strict.http.post("/api/show", json=asked).status_code == 404
    known = lenient.http.post("/api/show", json={"model": "assistant:latest"}).json()
    assert lenient.http.post("/api/show", json=asked).json() == known


def test_what_changes_something_refuses_unknown_names_all_the_same(lenient: Service) -> None:
    assert lenient.http.post("/setModel", json={"model_name": "gpt-4o"}).status_code == 404
    assert lenient.http.delete("/cache", params={"model": "gpt-4o"}).status_code == 404
    deleted = lenient.http.request("DELETE", "/api/delete", json={"model": "gpt-4o"})
    assert deleted.status_code == 404


# ---------------------------------------------------------------- limits


def bounded(path: str, asked: int | None) -> dict[str, Any]:
    """Return a body that asks for an answer of so many tokens."""
    body, field = BOUNDED[path]
    if asked is None:
        return body
    outer, _, inner = field.rpartition(".")
    return body | ({outer: {inner: asked}} if outer else {inner: asked})


def test_every_dialect_is_among_those_that_are_tested() -> None:
    answering = [dialect for dialect in DIALECTS if any(route.streams for route in dialect.routes)]
    for dialect in answering:
        if dialect.name == "ollama_catalogue":  # streams how an operation goes on
            continue
        paths = {path for route in dialect.routes for path in route.paths}
        assert paths & BOUNDED.keys(), dialect.name


@pytest.mark.parametrize("path", BOUNDED)
@pytest.mark.parametrize(("asked", "limited"), [(None, LIMIT), (MANY, LIMIT), (7, 7)])
def test_no_answer_is_longer_than_the_limit(
    strict: Service, path: str, asked: int | None, limited: int
) -> None:
    if path == "/v1/completions" and asked is None:
        limited = 16  # OpenAI's default
    assert strict.post(path, bounded(path, asked)).status_code == 200
    assert strict.last_generate()["max_tokens"] == limited


@pytest.mark.parametrize("path", [*BOUNDED][:3])
def test_no_limit_is_the_limit(strict: Service, path: str) -> None:
    strict.post(path, bounded(path, -1))
    assert strict.last_generate()["max_tokens"] == LIMIT


@pytest.mark.parametrize("path", BOUNDED)
def test_a_client_may_have_a_limit_of_its_own(strict: Service, path: str) -> None:
    strict.http.post(path, json=bounded(path, MANY), headers={"x-api-key": KITCHEN})
    assert strict.last_generate()["max_tokens"] == OF_THE_KITCHEN


# ---------------------------------------------------------------- lists


def test_models_are_listed_with_aliases_status_and_shape(strict: Service) -> None:
    first, second = strict.http.get("/v1/models").json()["data"]
    assert first["aliases"] == ["assistant", "claude-local"]
    assert first["status"] == {"value": "loaded"}
    assert first["meta"]["n_ctx"] == first["n_ctx"] == 512
    assert (second["aliases"], second["status"]) == ([], {"value": "unloaded"})
    assert second["meta"]["n_ctx"] is None
    assert second["meta"]["size"] == second["size_bytes"]


def test_anthropics_clients_get_their_shape(strict: Service) -> None:
    header = {"anthropic-version": "2023-06-01"}
    page = strict.http.get("/v1/models", params={"limit": "1000"}, headers=header).json()
    assert [each["id"] for each in page["data"]] == [FILE, "assistant", "claude-local", OTHER]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, FILE, OTHER)
    one = strict.http.get("/v1/models/claude-local", headers=header).json()
    assert one in page["data"]
    wrong = strict.http.get("/v1/models", params={"limit": "x"}, headers=header)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "limit")


def test_codex_gets_no_models_of_a_kind_that_it_cannot_read(strict: Service) -> None:
    body = strict.http.get("/v1/models", params={"client_version": "0.171.0"}).json()
    assert body["models"] == []
    assert len(body["data"]) == 2
    assert strict.http.get("/v1/models").json()["models"] == [FILE, OTHER]


# ---------------------------------------------------------------- HEAD, queries


def _readable() -> list[Route]:
    return [route for route in RouteTable(DIALECTS).documented if route.method == "get"]


@pytest.mark.parametrize("path", [path for route in _readable() for path in route.paths])
def test_head_answers_as_get_does_but_for_the_body(strict: Service, path: str) -> None:
    named = path.replace("{model_id}", FILE).replace("{", "").replace("}", "")
    got, head = strict.http.get(named), strict.http.head(named)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if "content-length" in head.headers and path not in ("/health", "/v1/health", "/metrics"):
        assert head.headers["content-length"] == got.headers["content-length"]


def test_head_of_a_path_without_get_is_not_allowed(strict: Service) -> None:
    head = strict.http.head("/v1/chat/completions")
    assert (head.status_code, head.content) == (405, b"")


def test_health_is_open_below_v1_too(strict: Service) -> None:
    opened = httpx.get(f"{strict.url}/v1/health")
    assert opened.status_code == 200
    assert opened.json() == httpx.get(f"{strict.url}/health").json()


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_unknown_queries_are_ignored(strict: Service, path: str, body: dict[str, Any]) -> None:
    assert strict.post(f"{path}?beta=true&x", body).status_code == 200
