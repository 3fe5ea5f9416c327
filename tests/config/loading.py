"""Owns loading settings in tests: from given sources, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Settings
from app.config.sources import load_settings
from app.errors import SettingsInvalid


def load(
    cli: dict[str, Any] | None = None, config: Path | None = None, search: tuple[Path, ...] = ()
) -> Settings:
    """Return the settings that these sources add up to."""
    return load_settings(cli or {}, config, search=search)


def refusal(cli: dict[str, Any] | None = None, config: Path | None = None) -> list[str]:
    """Return the lines of the error that these sources are refused with."""
    with pytest.raises(SettingsInvalid) as caught:
        load(cli, config)
    return caught.value.message.splitlines()


def write(path: Path, content: str) -> Path:
    """Write a file and return its path."""
    path.write_text(content)
    return path
