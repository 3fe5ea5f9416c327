"""Status, models, tokens, cache and documentation, as clients see them."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.dialects.chat_completions.answer_schemas import ChatResponse
from app.api.schemas.cache import RestoreCacheResponse
from app.api.schemas.service import HealthResponse, ModelsResponse, SetModelResponse
from tests.live.server import MODELS, NANO, LiveServer, user


def test_the_root_says_that_the_server_runs(server: LiveServer) -> None:
    body = server.http.get("/").json()
    assert body["message"] == "LLM Server is running"
    assert body["status"] == "ok"


def test_health_describes_the_model_that_serves(server: LiveServer) -> None:
    body = HealthResponse.model_validate(server.health)
    assert body.status == "ok"
    assert body.current_model == NANO
    assert server.http.get("/health/live").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_models_are_listed_for_both_kinds_of_client(server: LiveServer, path: str) -> None:
    body = ModelsResponse.model_validate_json(server.http.get(path).content)
    assert NANO in body.models
    (entry,) = [entry for entry in body.data if entry.id == NANO]
    assert entry.loaded
    assert entry.size_bytes == (MODELS / NANO).stat().st_size


def test_one_model_is_described(server: LiveServer) -> None:
    assert server.http.get(f"/v1/models/{NANO}").json()["id"] == NANO
    assert server.http.get("/v1/models/nope.gguf").status_code == 404


def test_every_answer_matches_its_documented_schema(server: LiveServer) -> None:
    ChatResponse.model_validate(server.chat("Hello!", max_tokens=4))
    body = {"messages": [user("Hello!")]}
    restored = server.http.post("/restore_cache", json=body)
    RestoreCacheResponse.model_validate_json(restored.content)


def test_the_openapi_document_names_every_route(server: LiveServer) -> None:
    document = server.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in ("/health", "/models", "/setModel", "/v1/chat/completions", "/restore_cache"):
        assert path in document["paths"]
    schemas = document["components"]["schemas"]
    assert "temperature" in schemas["ChatRequest"]["properties"]
    page = server.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/chat/completions" in page.text


def test_tokens_and_text_are_inverse(server: LiveServer) -> None:
    text = "Grüße, 世界! 🙂 Turn the LED green."
    tokens = server.http.post("/tokenize", json={"content": text}).json()["tokens"]
    back = server.http.post("/detokenize", json={"tokens": tokens}).json()
    assert back == {"content": text}
    pieces = server.http.post("/tokenize", json={"content": text, "with_pieces": True}).json()
    assert [entry["id"] for entry in pieces["tokens"]] == tokens


def test_restoring_a_cache_prefills_once_and_says_so(own_server: LiveServer) -> None:
    messages = [{"role": "system", "content": "You are a careful assistant. " * 8}]
    first = own_server.http.post("/restore_cache", json={"messages": messages}).json()
    again = own_server.http.post("/restore_cache", json={"messages": messages}).json()
    assert (first["cached_tokens"], first["tier"]) == (0, "none")
    assert again["cached_tokens"] == first["prompt_tokens"] > 0
    assert again["tier"] == "memory"
    body = {"messages": [*messages, user("Hello!")], "max_tokens": 4}
    usage = own_server.http.post("/v1/chat/completions", json=body).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == first["prompt_tokens"]


@pytest.mark.parametrize("n_clients", [4, 20])
def test_many_clients_at_once_are_all_answered(server: LiveServer, n_clients: int) -> None:
    countries = ["France", "Spain", "Italy", "Japan"]
    questions = [f"What is the capital of {country}?" for country in countries]
    alone = [server.chat(question)["choices"] for question in questions]
    barrier = threading.Barrier(n_clients)

    def ask(number: int) -> Any:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            barrier.wait()
            question = questions[number % len(questions)]
            body = {"messages": [user(question)], "temperature": 0}
            return client.post("/v1/chat/completions", json=body).json()["choices"]

    with ThreadPoolExecutor(n_clients) as pool:
        answers = list(pool.map(ask, range(n_clients)))
    assert answers == [alone[number % len(alone)] for number in range(n_clients)]


def test_health_answers_while_the_engine_works(server: LiveServer) -> None:
    for _ in server.stream("Tell me a story.", max_tokens=20):
        assert server.http.get("/health").status_code == 200


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    for name in ("first.gguf", "second.gguf"):
        shutil.copy(MODELS / NANO, tmp_path / name)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    return tmp_path


def test_another_model_is_loaded_on_request(two_models: Path) -> None:
    with LiveServer("--models-dir", str(two_models), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        assert live.chat("Hello!", max_tokens=3)["model"] == "first.gguf"
        assert live.chat("Hello!", max_tokens=3, model="second.gguf")["model"] == "second.gguf"
        assert live.health["current_model"] == "second.gguf"
        body = {"model_name": "first.gguf", "load_model_configs": {"n_ctx": 512}}
        answer = live.http.post("/setModel", json=body)
        assert SetModelResponse.model_validate_json(answer.content).n_ctx == 512


def test_a_model_that_does_not_load_leaves_the_old_one_serving(two_models: Path) -> None:
    with LiveServer("--models-dir", str(two_models), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        refused = live.http.post("/setModel", json={"model_name": "broken.gguf"})
        assert refused.status_code == 500
        assert refused.json()["error"]["code"] == "model_load_failed"
        assert "broken.gguf" in refused.json()["detail"]
        assert live.chat("Hello!", max_tokens=3)["model"] == "first.gguf"


def test_a_switch_is_finished_though_its_client_goes_away(two_models: Path) -> None:
    body = b'{"model_name":"second.gguf"}'
    request = b"POST /setModel HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
    with LiveServer("--models-dir", str(two_models), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        with live.connect() as connection:
            connection.sendall(request % (len(body), body))
            live.wait_until(lambda: live.health["engine"]["load_fraction"] is not None)
        live.wait_until(lambda: live.health["current_model"] == "second.gguf")
        assert live.chat("Hello!", max_tokens=3)["model"] == "second.gguf"


def test_a_stream_goes_on_while_another_model_is_loaded(two_models: Path) -> None:
    with LiveServer("--models-dir", str(two_models), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        whole = live.chat("Tell me a story.", max_tokens=120)["choices"][0]["message"]["content"]
        pieces = live.stream("Tell me a story.", max_tokens=120)
        received = [next(pieces)]
        assert live.http.post("/setModel", json={"model_name": "second.gguf"}).status_code == 200
        received += pieces
        text = "".join(p["choices"][0]["delta"].get("content") or "" for p in received)
        assert text == whole


def test_a_context_over_what_the_model_was_trained_for_is_clamped(two_models: Path) -> None:
    with LiveServer("--models-dir", str(two_models), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        body = {"model_name": "second.gguf", "load_model_configs": {"n_ctx": 1_000_000}}
        answer = live.http.post("/setModel", json=body).json()
        assert answer["n_ctx"] < 1_000_000
        assert "trained" in answer["notes"][0]


def test_without_any_model_the_service_starts_and_says_what_to_do(tmp_path: Path) -> None:
    with LiveServer("--models-dir", str(tmp_path)) as live:
        assert live.health["status"] == "no_model"
        assert live.http.get("/models").json()["models"] == []
        refused = live.http.post("/v1/chat/completions", json={"messages": [user("Hi")]})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "no_model"
        shutil.copy(MODELS / NANO, tmp_path / "added.gguf")
        assert live.chat("Hello!", max_tokens=3, model="added.gguf")["model"] == "added.gguf"


def test_a_taken_port_ends_the_start_with_a_clear_line(server: LiveServer) -> None:
    port = server.url.rsplit(":", 1)[1]
    with pytest.raises(AssertionError, match="cannot_listen"):
        LiveServer("--port", port)


def test_sigterm_ends_the_server_with_success_though_a_connection_is_open() -> None:
    live = LiveServer().wait_healthy()
    with live.connect():
        assert live.stop() == 0
    assert live.log("stopped")
    assert not any(line["level"] == "error" for line in live.lines)
