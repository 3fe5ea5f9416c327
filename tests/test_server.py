"""What is composed, and how a start that cannot listen ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sanic import Sanic
from structlog.testing import capture_logs

from app import server
from app.config.settings import Settings
from app.host.process.spawn import SpawnedEngine
from app.server import HttpApp, compose, create_app, serve
from app.web.api_keys import ApiKeys

PROJECT = Path(__file__).parents[1]


class Spawned:
    """An engine process that was spawned early."""

    is_discarded = False

    def discard(self) -> None:
        self.is_discarded = True


@pytest.fixture
def app(tmp_path: Path) -> Iterator[HttpApp]:
    settings = Settings(models_dir=tmp_path, cache_dir=tmp_path / "cache", sse_ping_s=3)
    made = compose(settings, server._build_service(settings, ApiKeys()))
    yield made
    Sanic.unregister_app(made)


def test_every_dialect_and_endpoint_has_its_routes(app: HttpApp) -> None:
    paths = {f"/{route.path}" for route in app.router.routes}
    assert {"/health", "/metrics", "/models", "/cache", "/openapi.json"} <= paths
    assert {"/v1/chat/completions", "/chat/completions", "/setModel"} <= paths


def test_bodies_are_left_unread_until_access_was_checked(app: HttpApp) -> None:
    assert all(route.extra.ignore_body for route in app.router.routes)


def test_handlers_get_the_service_of_the_settings(app: HttpApp, tmp_path: Path) -> None:
    assert app.ctx.service.catalog.models_dir == tmp_path
    assert app.ctx.service.timeouts.sse_ping_s == 3
    assert app.ctx.service.supervisor.status.name == "no_model"


@pytest.mark.usefixtures("logging_as_before")
def test_a_development_server_takes_the_environments_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTILLER_LLM_MODELS_DIR", str(tmp_path))
    made = create_app()
    Sanic.unregister_app(made)
    assert made.ctx.service.catalog.models_dir == tmp_path


def test_a_start_without_a_needed_key_is_a_wrong_setting(tmp_path: Path) -> None:
    spawned = Spawned()
    settings = Settings(host="0.0.0.0", port=0, models_dir=tmp_path)
    with capture_logs() as lines:
        status = serve(settings, cast(SpawnedEngine, spawned))
    assert (status, spawned.is_discarded) == (2, True)
    assert [line["event"] for line in lines] == ["settings_invalid"]


def test_a_start_on_a_port_in_use_fails(tmp_path: Path) -> None:
    spawned = Spawned()
    with socket.create_server(("127.0.0.1", 0)) as other, capture_logs() as lines:
        port = other.getsockname()[1]
        settings = Settings(host="127.0.0.1", port=port, models_dir=tmp_path)
        status = serve(settings, cast(SpawnedEngine, spawned))
    assert (status, spawned.is_discarded) == (1, True)
    assert [(line["event"], line["port"]) for line in lines] == [("cannot_listen", port)]


def test_the_file_can_be_run_by_its_path_from_any_folder(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, str(PROJECT / "app/server.py"), "--port", "x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 2
    assert "must be a whole number" in found.stderr
