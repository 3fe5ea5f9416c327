"""`/health` is 200 while a model serves, and has details only for authenticated clients."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import HTTPResponse, Request
from sanic.compat import Header

from app.api.endpoints import health
from app.api.schemas.service import HealthResponse, HealthState, LiveResponse, RootResponse
from app.device.readings import DeviceState
from app.protocol import CacheCounts, CacheParams, Stats
from tests.api.endpoints.handler_requests import request_to
from tests.host.fake_engine import INFO

# Sanic's decorators hide from the type checker what handlers are.
HEALTH = cast(Any, health)
WHY = "broken.gguf: not a GGUF file"


class Device:
    """A device without sensors, with a warning."""

    async def fresh(self) -> DeviceState:
        return DeviceState()

    def warnings(self) -> list[str]:
        return ["too hot"]


def service(state: str, *, serves: bool, message: str = "") -> Any:
    engine = SimpleNamespace(pid=77, n_requests=2, stats=stats())
    serving = SimpleNamespace(name="m.gguf", engine=engine, info=INFO, cache=CacheParams())
    status = SimpleNamespace(
        name=state,
        message=message,
        restarts=3,
        last_failure="",
        warnings=lambda: ["killed for want of memory"],
    )
    supervisor = SimpleNamespace(
        status=status,
        serving=serving if serves else None,
        load_fraction=0.42,
        profiles=[],
        cache=SimpleNamespace(params=CacheParams(disk_cache_mb=0)),
    )
    return SimpleNamespace(supervisor=supervisor, version="1.2.3", started_s=0.0, device=Device())


def stats() -> Stats:
    return Stats(
        waiting=0,
        running=0,
        kv_tokens=0,
        idle_bytes=0,
        prefill_tokens_per_s=0.0,
        decode_tokens_per_s=0.0,
        cache=CacheCounts(trouble="disk full", layout="whole_states", layout_message="new"),
        hints=["a clock"],
    )


def request(service: Any, *, has_key: bool) -> Request:
    return request_to(service, ctx=SimpleNamespace(is_authenticated=has_key))


async def ask(service: Any, *, has_key: bool = True) -> tuple[HTTPResponse, dict[str, Any]]:
    response: HTTPResponse = await HEALTH.health(request(service, has_key=has_key))
    assert response.body is not None
    return response, json.loads(response.body)


async def test_a_model_that_serves_is_200_with_all_details() -> None:
    response, body = await ask(service("ok", serves=True))
    HealthResponse.model_validate(body, strict=True)
    assert response.status == 200
    assert "Retry-After" not in response.headers
    assert (body["status"], body["current_model"]) == ("ok", "m.gguf")
    assert (body["engine"]["pid"], body["engine"]["n_ctx"]) == (77, INFO.n_ctx)
    assert body["engine"]["speculation"] == {"state": "on", "reason": ""}
    assert body["warnings"] == ["too hot", "killed for want of memory"]
    assert body["hints"] == ["a clock"]
    assert body["cache"] == {"disk": "paused", "message": "disk full"}
    assert body["engine"]["cache_layout"] == "whole_states"
    assert body["engine"]["cache_layout_message"] == "new"


async def test_without_a_model_it_is_503_and_says_when_to_retry() -> None:
    response, body = await ask(service("loading", serves=False, message="loading m.gguf"))
    HealthResponse.model_validate(body, strict=True)
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert (body["model_loaded"], body["current_model"]) == (False, None)
    assert body["engine"] == {"restarts": 3, "last_failure": "", "load_fraction": 0.42}
    assert body["cache"]["disk"] == "off"
    assert body["hints"] == []


async def test_other_clients_get_only_the_state() -> None:
    response, body = await ask(service("ok", serves=True), has_key=False)
    assert response.status == 200
    assert set(body) == set(HealthState.model_fields)


@pytest.mark.parametrize("has_key", [True, False])
async def test_only_authenticated_clients_see_why_a_model_did_not_load(
    has_key: bool,
) -> None:
    _, body = await ask(service("error", serves=False, message=WHY), has_key=has_key)
    assert (body["message"] == WHY) is has_key
    assert ("broken.gguf" in json.dumps(body)) is has_key


async def test_liveness_and_root_do_not_depend_on_a_model() -> None:
    asked = request(service("error", serves=False, message=WHY), has_key=False)
    live, root = await HEALTH.live(asked), await HEALTH.root(asked)
    assert (live.status, root.status) == (200, 200)
    LiveResponse.model_validate_json(live.body, strict=True)
    assert RootResponse.model_validate_json(root.body, strict=True).version == "1.2.3"


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("text/plain", True),
        ("text/*, text/plain;q=0.5", True),
        ("TEXT/PLAIN; charset=utf-8", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/plain, application/json", False),
        ("text/html", False),
    ],
)
async def test_a_client_that_reads_text_only_is_told_in_ollamas_words(
    accept: str, *, is_text: bool
) -> None:
    headers = Header({"accept": accept} if accept else {})
    asked = request_to(service("ok", serves=True), headers=headers)
    answer = await HEALTH.root(asked)
    assert answer.content_type.startswith("text/plain" if is_text else "application/json")
    assert (answer.body == b"Ollama is running") == is_text
