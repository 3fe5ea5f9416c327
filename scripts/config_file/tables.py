"""Owns the tables of settings in docs/configuration.md: one below each section's heading."""

from __future__ import annotations

import re

from app.config.changes import takes_effect
from app.config.settings import SECTIONS, Settings, detail, setting_names
from app.config.sources import allowed_values, describe

_HEAD = """\
| Setting | Default | Allowed | Description | Takes effect |
| --- | --- | --- | --- | --- |
"""
# The defaults are where the package lies.
_DEFAULTS = {
    "models_dir": "`models` beside the `app` package",
    "cache_dir": "`cache` beside the `app` package",
}


def with_tables(text: str) -> str:
    """Return the page with the first table of each section written anew.

    Raises:
        ValueError: a section has no heading or no table.
    """
    for section in SECTIONS:
        pattern = rf"(\n## {re.escape(section)}\n(?:(?!## |\|).*\n)*)(?:\|.*\n)+"
        found = re.search(pattern, text)
        if found is None:
            raise ValueError(f"docs/configuration.md has no table below '## {section}'")
        text = text[: found.end(1)] + _table(section) + text[found.end() :]
    return text


def _table(section: str) -> str:
    defaults = {name: f"`{value}`" for name, value, _ in describe(Settings())} | _DEFAULTS
    names = [name for name in setting_names() if detail(name, "section") == section]
    return _HEAD + "".join(_line(name, defaults[name]) for name in names)


def _line(name: str, default: str) -> str:
    description = Settings.model_fields[name].description
    cells = (f"`{name}`", default, allowed_values(name), description, takes_effect(name))
    return f"| {' | '.join(map(str, cells))} |\n"
