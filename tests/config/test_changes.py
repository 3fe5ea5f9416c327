"""When a changed setting takes effect, and that the documentation says the same."""

from __future__ import annotations

import re
from pathlib import Path

from app.config.changes import changes, live_part, takes_effect
from app.config.settings import Settings, setting_names

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def documented(section: str, heading: str) -> set[str]:
    """Return the settings that a bullet of a section names."""
    text = DOCS.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    (bullet,) = re.findall(rf"^- \*\*{heading}\*\*.*$", text, re.MULTILINE)
    return {name for name in re.findall(r"`(\w+)`", bullet) if name in setting_names()}


def tabulated(section: str) -> set[str]:
    text = DOCS.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def of(effect: str) -> set[str]:
    return {name for name in setting_names() if takes_effect(name) == effect}


def test_the_documentation_says_when_each_setting_takes_effect() -> None:
    reloading = "Changing settings while the service runs"
    assert documented(reloading, "next start") == of("next start")
    loading = tabulated("Loading a model") | tabulated("Queue")
    assert documented(reloading, "next load") | loading == of("next load")
    sampling = tabulated("Sampling")
    assert documented(reloading, "now") | sampling == of("now")


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
    assert (now.max_tokens, now.port) == (5, 1)
