"""Tables of models in the settings: aliases, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.models import aliases_of
from tests.config.loading import load, refusal, write


def test_aliases_stand_in_tables_of_the_file(tmp_path: Path) -> None:
    text = (
        '[[models]]\nname = "a.gguf"\naliases = ["assistant", "claude-local"]\n'
        '[[models]]\nname = "Qwen/b"\n'
    )
    settings = load(config=write(tmp_path / "c.toml", text))
    assert aliases_of(settings.models) == {"assistant": "a.gguf", "claude-local": "a.gguf"}
    assert settings.unknown_model == "refuse"


def test_elsewhere_they_are_json() -> None:
    settings = load({"models": '[{"name":"a","aliases":["x"]}]', "unknown_model": "Default"})
    assert aliases_of(settings.models) == {"x": "a"}
    assert settings.unknown_model == "default"


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ('{"aliases":["x"]}', "[0].name is missing"),
        ('{"name":""}', "[0].name must be a text of 1 to 255 printable characters"),
        ('{"name":5}', "[0].name must be a text"),
        ('{"name":"a","aliases":"x"}', "[0].aliases must be a list of texts"),
        ('{"name":"a","aliases":["x","y\\n"]}', "[0].aliases must be a list of texts"),
        ('{"name":"a","aliases":[" x"]}', "[0].aliases must be a list of texts"),
        ('{"name":"a","alias":["x"]}', "[0].alias is no part of a model; its parts are name, al"),
        ("4", "[0] must be a table"),
        ('{"name":"a"},{"name":"A.gguf"}', "[1].name is the name of another model too"),
        (
            '{"name":"a","aliases":["x"]},{"name":"b","aliases":["y","X:latest"]}',
            "[1].aliases has 'x', which another alias is too",
        ),
        ('{"name":"a","aliases":["x","x"]}', "[0].aliases has 'x', which another alias is too"),
    ],
)
def test_a_wrong_table_is_reported_with_the_field_at_fault(models: str, problem: str) -> None:
    (line,) = refusal({"models": f"[{models}]"})
    assert line.startswith(f"models{problem}")
    assert line.endswith(" (command line --models)")
