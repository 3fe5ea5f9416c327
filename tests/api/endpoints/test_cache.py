"""What clients are told of the prompt cache; the real service with engines that only pretend."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.api.dialects.chat_completions.answer_schemas import ChatResponse
from app.api.schemas.cache import CacheResponse, ClearCacheResponse, RestoreCacheResponse
from app.api.schemas.service import HealthResponse
from app.promptcache.folders import folder_name
from app.promptcache.lock import FolderLock
from tests.host import fake_engine
from tests.live.server import LiveServer, user
from tests.models.gguf_files import write_llama

pytestmark = pytest.mark.slow  # each test starts a server
FOLDER = "first.gguf"
GONE = "gone.gguf"


class Service(LiveServer):
    """The service in a folder of its own, with models that are only headers."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.cache = folder / "cache"
        models = folder / "models"
        models.mkdir(exist_ok=True)
        for name in ("first.gguf", "second.gguf"):
            write_llama(models / name)
        super().__init__(
            *("--models-dir", str(models), "--cache-dir", str(self.cache)),
            *("--model-name", "first.gguf", *arguments),
            command=("-m", "tests.api.fake_service", "serve"),
        )

    def keep(self, model_folder: str, *sizes: int) -> None:
        """Put files in place of entries."""
        (self.cache / model_folder).mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(sizes):
            (self.cache / model_folder / f"{number}.kv").write_bytes(b"x" * size)

    def report(self) -> dict[str, Any]:
        body: dict[str, Any] = self.http.get("/cache").json()
        CacheResponse.model_validate(body, strict=True)
        return body

    def clear(self, query: str = "") -> httpx.Response:
        response = self.http.delete("/cache" + query)
        if response.status_code == 200:
            ClearCacheResponse.model_validate_json(response.content, strict=True)
        return response

    def restore(self, content: str) -> dict[str, Any]:
        response = self.http.post("/restore_cache", json={"messages": [user(content)]})
        body: dict[str, Any] = response.json()
        RestoreCacheResponse.model_validate(body, strict=True)
        return body


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that tests share; they must leave it as it was."""
    with Service(tmp_path_factory.mktemp("service")) as live:
        live.wait_healthy()
        yield live


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own."""
    with Service(tmp_path) as live:
        live.wait_healthy()
        yield live


# ---------------------------------------------------------------- restore


def test_a_restored_prompt_is_told_with_its_tier_and_whether_it_is_saved(service: Service) -> None:
    assert service.restore("Hello!") == {
        "status": "ok",
        "message": "cache is restored",
        "model": "first.gguf",
        "prompt_tokens": 10,
        "cached_tokens": 8,
        "tier": "disk",
        "saved": True,
    }


def test_restoring_takes_the_same_configurations_as_a_chat(service: Service) -> None:
    body = {
        "messages": [user("Hello!")],
        "inference_configs": {"temperature": 0.5},
        "load_model_configs": {"n_ctx": 512},
    }
    assert service.http.post("/restore_cache", json=body).status_code == 200
    body["inference_configs"] = {"temprature": 0.5}
    refused = service.http.post("/restore_cache", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_parameter")


# ---------------------------------------------------------------- answers


def test_an_answer_explains_the_cache_where_it_is_asked_to(service: Service) -> None:
    body = service.chat("Hello!", explain_cache=True)
    ChatResponse.model_validate(body, strict=True)
    difference = {"index": 8, "before": "today is", "prompt": " Friday", "cached": " Monday"}
    assert body["cache"] == {
        "tier": "disk",
        "cached_tokens": 8,
        "matched_tokens": 9,
        "not_restored": "no_state",
        "prompt_tokens": 10,
        "first_difference": difference,
    }
    *_, last = service.stream("Hello!", explain_cache=True)
    assert last["cache"] == body["cache"]
    assert last["timings"]["tier"] == body["timings"]["tier"] == "disk"


@pytest.mark.parametrize("fields", [{}, {"explain_cache": False}, {"explain_cache": None}])
def test_other_answers_do_not(service: Service, fields: dict[str, Any]) -> None:
    assert "cache" not in service.chat("Hello!", **fields)
    assert all("cache" not in chunk for chunk in service.stream("Hello!", **fields))


def test_explain_cache_is_true_or_false(service: Service) -> None:
    body = {"messages": [user("Hello!")], "explain_cache": "yes"}
    refused = service.http.post("/chat/completions", json=body)
    assert refused.json()["error"]["param"] == "explain_cache"


def test_the_log_line_and_the_metrics_have_the_tier_and_the_time(service: Service) -> None:
    body = {"messages": [user("Hello!")]}
    service.http.post("/chat/completions", json=body, headers={"X-Request-ID": "tier"})
    line = service.wait_for_log("request", request_id="tier")
    assert (line["cached_tokens"], line["tier"], line["restore_ms"]) == (8, "disk", 3.5)
    metrics = service.http.get("/metrics").text
    assert 'distiller_llm_cache_hits_total{tier="disk"} 2.0' in metrics


# ---------------------------------------------------------------- look


def test_the_cache_is_described_by_tier_entry_and_model(own: Service) -> None:
    own.keep(GONE, 10, 20)
    body = own.report()
    counts = fake_engine.COUNTS
    assert body["model"] == "first.gguf"
    CacheResponse.model_validate(body, strict=True)
    assert (body["layout"], body["layout_message"]) == ("blocks_and_states", "")
    memory_kinds = {"blocks": 3, "block_bytes": 4, "states": 2, "state_bytes": 2}
    memory = {"entries": 5, "bytes": 6, "capacity_bytes": 7, "hits": 1, **memory_kinds}
    assert body["tiers"]["memory"] == memory
    disk = body["tiers"]["disk"]
    assert (disk["state"], disk["message"], disk["folder"]) == ("ok", "", FOLDER)
    assert (disk["hits"], disk["saves"], disk["waiting"]) == (2, 11, 14)
    assert disk["daily_write_bytes"] == counts.daily_write_bytes
    assert (disk["blocks"], disk["block_bytes"]) == (5, 5)
    assert (disk["states"], disk["state_bytes"]) == (2, 3)
    assert (body["misses"], body["not_restored"]) == (counts.misses, {"corrupt": 2})
    (entry,) = body["entries"]
    assert (entry["profile"], entry["kind"], entry["start"]) == ("kitchen", "state", 8)
    assert body["changing_heads"] == [msgspec.to_builtins(fake_engine.HEAD)]
    assert body["models"] == [{"folder": GONE, "entries": 2, "bytes": 30}]


def test_without_a_model_only_the_folders_are_described(tmp_path: Path) -> None:
    with Service(tmp_path, "--model-name", "missing.gguf") as live:
        live.keep(GONE, 10)
        body = live.report()
        assert (body["model"], body["tiers"], body["entries"]) == (None, None, [])
        assert body["changing_heads"] == []
        assert (body["layout"], body["not_restored"]) == (None, {})
        assert body["models"] == [{"folder": GONE, "entries": 1, "bytes": 10}]
        assert live.clear().json()["bytes"] == 10
        refused = live.http.post("/restore_cache", json={"messages": [user("Hello!")]})
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "server_error")


# ---------------------------------------------------------------- forget


def test_what_a_removed_model_left_is_forgotten_by_its_name_in_any_unicode_form(
    own: Service,
) -> None:
    own.keep(folder_name("caf\u00e9.gguf"), 10)
    body = own.clear("?model=cafe%CC%81.gguf").json()
    assert (body["entries"], body["bytes"]) == (1, 10)


def test_everything_is_forgotten_by_the_engine_and_on_disk(own: Service) -> None:
    own.keep(GONE, 10, 20)
    body = own.clear().json()
    assert body["status"] == "ok"
    assert body["entries"] == fake_engine.CLEARED_ENTRIES + 2
    assert body["bytes"] == fake_engine.CLEARED_BYTES + 30
    assert own.report()["models"] == []


@pytest.mark.parametrize("named", ["first.gguf", "first"])
def test_what_is_cached_of_the_model_that_serves_is_the_engines_to_remove(
    own: Service, named: str
) -> None:
    own.keep(FOLDER, 5)
    own.keep(GONE, 10)
    body = own.clear(f"?model={named}").json()
    assert (body["entries"], body["bytes"]) == (8, 9)
    assert "first.gguf" in body["message"]
    assert [entry["folder"] for entry in own.report()["models"]] == [FOLDER, GONE]


@pytest.mark.parametrize("named", ["second.gguf", "second", GONE])
def test_what_is_cached_of_another_model_is_removed_also_when_its_file_is_gone(
    own: Service, named: str
) -> None:
    own.keep("second.gguf", 10)
    own.keep(GONE, 10)
    body = own.clear(f"?model={named}").json()
    assert (body["entries"], body["bytes"]) == (1, 10)
    assert len(own.report()["models"]) == 1


def test_a_model_without_a_cache_has_nothing_to_forget(service: Service) -> None:
    assert service.clear("?model=second.gguf").json()["entries"] == 0


@pytest.mark.parametrize("named", ["nope", "", "..", "../cache", "%2e%2e%2f", "."])
def test_an_unknown_model_is_not_found_and_nothing_is_removed(own: Service, named: str) -> None:
    own.keep(GONE, 10)
    refused = own.clear(f"?model={named}")
    assert refused.status_code == 404
    assert refused.json()["error"]["param"] == "model"
    assert own.report()["models"] == [{"folder": GONE, "entries": 1, "bytes": 10}]


# ---------------------------------------------------------------- health


def disk_health(live: Service) -> tuple[str, str]:
    body = HealthResponse.model_validate(live.health)
    return body.cache.disk, body.cache.message


def test_health_says_that_the_disk_tier_works_and_when_it_does_not(own: Service) -> None:
    assert disk_health(own) == ("ok", "")
    own.restore("trouble the disk is full")
    assert disk_health(own) == ("paused", "the disk is full")
    assert own.report()["tiers"]["disk"]["state"] == "paused"
    own.restore("trouble")
    assert disk_health(own) == ("ok", "")


def test_health_says_that_the_disk_tier_is_off(tmp_path: Path) -> None:
    with Service(tmp_path, "--disk-cache-mb", "0") as live:
        live.wait_healthy()
        assert disk_health(live) == ("off", "disk_cache_mb is 0")
        assert live.report()["tiers"]["disk"]["state"] == "off"
        assert not live.cache.exists()


def test_a_service_whose_cache_folder_is_in_use_serves_without_it(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "cache"), Service(tmp_path) as live:
        live.wait_healthy()
        state, message = disk_health(live)
        assert state == "refused"
        assert str(os.getpid()) in message
        assert live.chat("Hello!")["choices"]
        live.keep(GONE, 10)
        refused = live.clear()
        assert refused.status_code == 503
        assert refused.json()["detail"] == message
        assert len(live.report()["models"]) == 1
        assert len(live.log("cache_folder_refused")) == 1


def test_a_service_lets_go_of_its_cache_folder_when_it_ends(tmp_path: Path) -> None:
    with Service(tmp_path) as live:
        live.wait_healthy()
        assert live.stop() == 0
        with FolderLock(live.cache):
            pass


def test_health_tells_of_each_profile(tmp_path: Path) -> None:
    profiles = [
        {"name": "kitchen", "messages": [user("ready")]},
        {"name": "bad", "messages": [user("refuse")]},
        {"name": "other", "model": "second.gguf", "messages": [user("ready")]},
    ]
    with Service(tmp_path, "--profiles", json.dumps(profiles)) as live:
        live.wait_healthy()
        body = HealthResponse.model_validate(live.health)
        states = {profile.name: profile.state for profile in body.profiles}
        assert states == {"kitchen": "ready", "bad": "failed", "other": "other_model"}
        assert body.profiles[1].message == "no such role"
        assert live.wait_for_log("profile_failed", profile="bad")["level"] == "warning"
