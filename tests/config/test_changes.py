"""When a changed setting takes effect, and what of a change counts without a restart."""

from __future__ import annotations

from typing import get_args

from app.config.changes import changes, live_part, takes_effect
from app.config.settings import Settings, setting_names
from app.parameters.answer import AnswerParams
from app.parameters.row import TakesEffect


def test_a_change_of_a_setting_takes_effect_when_its_row_says() -> None:
    of = {name: takes_effect(name) for name in setting_names()}
    assert set(of.values()) == set(get_args(TakesEffect))
    assert (of["temperature"], of["seed"], of["max_body_bytes"]) == ("now", "now", "now")
    assert (of["n_ctx"], of["parallel"], of["load_timeout_s"]) == ("next load",) * 3
    assert (of["port"], of["cache_dir"], of["disk_cache_mb"]) == ("next start",) * 3


def test_only_what_differs_is_a_change() -> None:
    before = Settings(max_tokens=3, port=1, n_ctx=512)
    after = Settings(max_tokens=5, port=2, n_ctx=1024)
    assert [(change.name, change.takes_effect) for change in changes(before, after)] == [
        ("port", "next start"),
        ("n_ctx", "next load"),
        ("max_tokens", "now"),
    ]
    assert changes(before, before) == []


def test_what_needs_a_new_start_stays_as_it_was() -> None:
    now = live_part(Settings(max_tokens=3, port=1), Settings(max_tokens=5, port=2))
    assert (now.part(AnswerParams).max_tokens, now.port) == (5, 1)
