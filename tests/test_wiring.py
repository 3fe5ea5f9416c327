"""Which settings become which parameters of the HTTP process's parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.settings import Settings
from app.web.api_keys import ApiKeys
from app.wiring import (
    access_policy,
    answer_defaults,
    cache_params,
    client_limits,
    load_params,
    naming,
    sanic_config,
)


@pytest.mark.parametrize(
    ("verbose", "log_level", "expected"),
    [(False, "info", False), (True, "info", True), (False, "debug", True)],
)
def test_llama_cpp_is_verbose_if_asked_to_or_at_the_debug_level(
    verbose: bool, log_level: str, expected: bool
) -> None:
    settings = Settings.model_validate({"verbose": verbose, "log_level": log_level, "n_ctx": 512})
    assert load_params(settings).verbose is expected
    assert load_params(settings).n_ctx == 512


def test_a_load_has_no_seed_so_that_a_reload_can_change_the_default() -> None:
    settings = Settings(seed=7)
    assert load_params(settings).seed is None
    assert answer_defaults(settings).sampling.seed == 7


@pytest.mark.parametrize(("budget", "expected"), [(-1, None), (0, 0), (64, 64)])
def test_a_reasoning_budget_of_minus_one_is_unlimited(budget: int, expected: int | None) -> None:
    defaults = answer_defaults(Settings(reasoning_budget=budget, reasoning_format="none"))
    assert defaults.reasoning.budget == expected
    assert not defaults.reasoning.is_split


@pytest.mark.parametrize(("capacity_mb", "is_on"), [(0, False), (100, True)])
def test_without_a_capacity_the_disk_tier_has_no_folder(
    tmp_path: Path, capacity_mb: int, is_on: bool
) -> None:
    params = cache_params(Settings(cache_dir=tmp_path, disk_cache_mb=capacity_mb))
    assert params.folder == (str(tmp_path) if is_on else "")


def test_the_devices_own_names_are_allowed_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.wiring.socket.gethostname", lambda: "Box.lan")
    settings = Settings(allowed_hosts=["pi.example"], cors_origins=["https://a.example"])
    policy = access_policy(settings, ApiKeys())
    assert policy.allowed_hosts == {"box.lan", "box.local", "pi.example"}
    assert policy.cors_origins == {"https://a.example"}


def test_the_limits_on_requests_are_sanics() -> None:
    config = sanic_config(Settings(max_body_bytes=4096, keep_alive_s=7))
    assert (config.REQUEST_MAX_SIZE, config.KEEP_ALIVE_TIMEOUT) == (4096, 7)
    assert not config.ACCESS_LOG


def test_aliases_and_what_unknown_names_mean_are_the_settings() -> None:
    found = naming(Settings(models=[{"name": "m", "aliases": ["x"]}], unknown_model="default"))
    assert (found.aliases, found.unknown_model) == ({"x": "m"}, "default")


def test_only_clients_with_a_limit_have_one() -> None:
    settings = Settings(clients=[{"name": "a", "max_tokens_limit": 5}, {"name": "b"}])
    assert client_limits(settings) == {"a": 5}


@pytest.mark.parametrize(
    ("limit", "asked", "limited"),
    [(None, None, None), (None, 9, 9), (5, None, 5), (5, 9, 5), (5, 3, 3), (5, 5, 5)],
)
def test_no_answer_is_longer_than_the_limit(
    limit: int | None, asked: int | None, limited: int | None
) -> None:
    assert answer_defaults(Settings(max_tokens_limit=limit)).limited(asked) == limited
