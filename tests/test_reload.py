"""A reload applies what can change, logs the rest, and a failed one changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr
from sanic import Sanic
from structlog.testing import capture_logs

from app import server
from app.config.settings import Settings
from app.errors import SettingsInvalid
from app.reload import Reloader
from app.web.api_keys import read_api_keys

KEY = SecretStr("laptop:0123456789abcdef")


class Made:
    """A reloader, and what it reloads: `wanted` is what the sources say."""

    def __init__(self, folder: Path) -> None:
        self.fixed = {"models_dir": folder, "cache_dir": folder / "cache"}
        self.wanted: Settings | Exception = Settings(**self.fixed)
        settings = Settings(**self.fixed)
        self.service = server._build_service(settings, read_api_keys(settings))
        self.config: dict[str, Any] = {}
        app = SimpleNamespace(ctx=SimpleNamespace(service=self.service), config=self.config)
        self.reloader = Reloader(cast(Sanic[Any, Any], app), settings, self._read)

    def _read(self) -> Settings:
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted

    def reload(self, **changes: Any) -> list[dict[str, Any]]:
        """Reload with these settings; return the log's records."""
        self.wanted = Settings(**self.fixed, **changes)
        return self.try_reload()

    def try_reload(self) -> list[dict[str, Any]]:
        with capture_logs() as lines:
            self.reloader.reload()
        return [dict(line) for line in lines]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr("app.reload.logs.configure", lambda *_: None)
    return Made(tmp_path)


def of(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


def test_what_can_change_at_once_does(made: Made) -> None:
    lines = made.reload(max_tokens=5, sse_ping_s=3, max_body_bytes=4096)
    assert made.service.defaults.max_tokens == 5
    assert made.service.timeouts.sse_ping_s == 3
    assert made.config["REQUEST_MAX_SIZE"] == 4096
    assert {line["setting"] for line in of(lines, "setting_changed")} == {
        "max_tokens",
        "sse_ping_s",
        "max_body_bytes",
    }
    assert of(lines, "reloaded")[0]["changes"] == 3


def test_names_and_limits_change_at_once(made: Made) -> None:
    lines = made.reload(
        models=[{"name": "gone", "aliases": ["assistant"]}],
        unknown_model="default",
        max_tokens_limit=9,
        clients=[{"name": "laptop", "max_tokens_limit": 5}, {"name": "typo"}],
        api_keys=KEY,
    )
    assert made.service.catalog.naming.aliases == {"assistant": "gone"}
    assert made.service.catalog.naming.unknown_model == "default"
    assert made.service.defaults.max_tokens_limit == 9
    assert made.service.client_limits == {"laptop": 5}
    assert [line["message"] for line in of(lines, "setting_without_effect")] == [
        "alias 'assistant' is of gone, which is not in the models folder",
        "client 'typo' is the name of no API key",
    ]


def test_what_needs_a_new_start_is_a_warning_each_time(made: Made) -> None:
    for _ in range(2):
        (line,) = of(made.reload(port=9), "setting_changed")
        assert (line["log_level"], line["takes_effect"]) == ("warning", "next start")
    assert made.reloader.settings.port != 9


def test_new_keys_are_logged_by_name_only(made: Made) -> None:
    lines = made.reload(api_keys=KEY)
    assert of(lines, "api_keys_changed")[0]["names"] == made.service.access_policy.keys.names
    assert "0123456789abcdef" not in str(lines)


@pytest.mark.parametrize(
    ("error", "texts"),
    [
        (SettingsInvalid("port: no\nhost: no"), ["port: no", "host: no"]),
        (RuntimeError("a defect"), ["reading the settings failed"]),
    ],
)
def test_settings_that_cannot_be_read_change_nothing(
    made: Made, error: Exception, texts: list[str]
) -> None:
    before = made.reloader.settings
    made.wanted = error
    lines = made.try_reload()
    assert [(line["event"], line["error"]) for line in lines] == [
        ("reload_failed", text) for text in texts
    ]
    assert made.reloader.settings is before


def test_a_service_without_a_model_looks_for_one_again(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str | None] = []
    monkeypatch.setattr(made.service.supervisor, "start", started.append)
    made.reload()
    assert started == [None]
