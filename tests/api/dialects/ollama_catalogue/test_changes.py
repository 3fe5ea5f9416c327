"""A model that cannot get a name leaves no settings of that name behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.api.dialects.ollama_catalogue.changes import (
    check_unused,
    link_with_settings,
    settings_before,
)
from app.api.service import Service
from app.errors import ModelInUse
from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    read_settings,
    settings_path,
    write_settings,
)
from app.models.store import ModelRefused


@pytest.mark.parametrize("before", [None, ModelSettings(system="before")])
def test_settings_are_as_before_where_a_name_cannot_be_given(
    tmp_path: Path, before: ModelSettings | None
) -> None:
    source, target = tmp_path / "a.gguf", tmp_path / "b.gguf"
    source.write_bytes(b"no model")
    if before:
        target.write_bytes(b"another")
        write_settings(target, before)
    with pytest.raises(ModelRefused):
        link_with_settings(source, target, ModelSettings(system="new"), replace=bool(before))
    if before:
        assert read_settings(target) == before
    else:
        assert not settings_path(target).exists()


def test_settings_that_cannot_be_read_can_be_replaced(tmp_path: Path) -> None:
    model = tmp_path / "a.gguf"
    settings_path(model).write_text("no settings")
    assert settings_before(model) == NO_SETTINGS


@pytest.mark.parametrize("name", ["loaded.gguf", "pending.gguf", "attempted.gguf", "other.gguf"])
def test_a_model_that_is_loaded_or_being_loaded_is_in_use(name: str) -> None:
    status = SimpleNamespace(pending="pending.gguf", attempted="attempted.gguf")
    supervisor = SimpleNamespace(loaded=[SimpleNamespace(name="loaded.gguf")], status=status)
    service = cast(Service, SimpleNamespace(supervisor=supervisor))
    if name == "other.gguf":
        check_unused(service, name)
        return
    with pytest.raises(ModelInUse):
        check_unused(service, name)
