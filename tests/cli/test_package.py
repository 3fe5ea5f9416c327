"""What the package installs fits the settings: the units' times, and the settings file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from app.config.settings import Settings, setting_names
from app.config.sources import load_settings
from app.parameters.timeouts import Timeouts
from scripts.config_file.page import page
from scripts.config_file.tables import with_tables

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SAVING_THE_CACHE_S = 10
CONFIG = DEPLOY / "config.toml"
DOCS = DEPLOY.parent / "docs" / "configuration.md"


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if match := re.match(r"([A-Za-z]+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|min|)", text)
    assert match, text
    return int(match[1]) * {"ms": 0.001, "s": 1, "min": 60, "": 1}[match[2]]


SERVICE = directives("distiller-llm.service")


def test_the_settings_file_shows_every_setting_as_it_is() -> None:
    assert CONFIG.read_text() == page(), "run scripts/config-file"


def test_the_tables_of_the_documentation_show_every_setting_as_it_is() -> None:
    text = DOCS.read_text()
    assert with_tables(text) == text, "run scripts/config-file"
    assert re.findall(r"(?m)^\| `(\w+)` \|", text)[: len(setting_names())] == setting_names()


def test_the_settings_file_as_installed_is_valid() -> None:
    settings = load_settings({}, CONFIG)

    assert settings.models_dir == Path("/var/lib/distiller-llm/models")
    assert settings.cache_dir == Path("/var/cache/distiller-llm")


def test_its_commented_lines_are_the_defaults() -> None:
    uncommented = re.sub(r"(?m)^#(?=[a-z_]+ = )", "", CONFIG.read_text())
    values = tomllib.loads(uncommented)
    tables = {"models", "clients", "profiles"}
    given = {"models_dir", "cache_dir"} | tables

    assert values.keys() | tables == set(setting_names())
    read = Settings(**values)
    for name in values.keys() - given:
        assert getattr(read, name) == getattr(Settings(), name), name


def test_a_stop_has_time_for_open_requests_and_for_the_cache() -> None:
    allowed_s = seconds(SERVICE["TimeoutStopSec"][0])

    assert allowed_s > load_settings({}, CONFIG).part(Timeouts).stop_timeout_s + SAVING_THE_CACHE_S


def test_a_start_has_time_to_load_a_model() -> None:
    assert seconds(SERVICE["TimeoutStartSec"][0]) > Timeouts().load_timeout_s


def test_failing_starts_never_reach_the_limit_that_takes_the_socket_down() -> None:
    """Between two failures lies the second that ExecStopPost waits."""
    most_starts = seconds(SERVICE["StartLimitIntervalSec"][0]) / 1

    assert int(SERVICE["StartLimitBurst"][0]) > most_starts
    assert "time.sleep" in SERVICE["ExecStopPost"][0]


@pytest.mark.parametrize("name", ["gpu", "lan", "memory"])
def test_each_drop_in_tells_its_price(name: str) -> None:
    assert "# Price: " in (DEPLOY / "drop-ins" / f"{name}.conf").read_text()
