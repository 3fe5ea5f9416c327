"""Fixtures of the tests of settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.config.settings import ENV_PREFIX


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without settings in the environment."""
    for variable in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
