"""Profiles in the settings: where they may stand, what is read of them, what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import ENV_PREFIX, Settings
from app.config.sources import describe, load_settings
from app.errors import SettingsInvalid


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def load(cli: dict[str, Any] | None = None, config: Path | None = None) -> Settings:
    return load_settings(cli or {}, config, search=())


def refusal(cli: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(cli)
    return caught.value.message.splitlines()


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


INLINE = '[[profiles]]\nname = "a"\nmessages = [{ role = "system", content = "Hi" }]\n'


def test_profiles_are_tables_of_the_file(tmp_path: Path) -> None:
    config = written(tmp_path / "c.toml", INLINE + '[[profiles]]\nname="b"\nmessages_file="m"\n')
    first, second = load(config=config).profiles
    assert (first.name, first.model) == ("a", "")
    assert first.messages == [{"role": "system", "content": "Hi"}]
    assert second.messages is None


def test_paths_in_a_profile_are_relative_to_the_file_or_else_to_the_working_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "etc").mkdir()
    config = written(
        tmp_path / "etc" / "c.toml",
        '[[profiles]]\nname = "a"\nmessages_file = "m.json"\ntools_file = "/t.json"\n',
    )
    (profile,) = load(config=config).profiles
    assert profile.messages_file == tmp_path / "etc" / "m.json"
    assert profile.tools_file == Path("/t.json")
    (profile,) = load({"profiles": '[{"name":"a","messages_file":"m.json"}]'}).profiles
    assert profile.messages_file == tmp_path / "m.json"


def test_the_environment_gives_profiles_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = '[{"name":"a","messages":[{"role":"user","content":"Hi"}]}]'
    monkeypatch.setenv("DISTILLER_LLM_PROFILES", messages)
    (profile,) = load().profiles
    assert profile.name == "a"


def test_profiles_are_described_as_the_file_has_them(tmp_path: Path) -> None:
    odd = (
        '[[profiles]]\nname = "b"\nmodel = "m"\nmessages = [{ role = "user", "a b" = [1, "\\n"] }]'
    )
    settings = load(config=written(tmp_path / "c.toml", INLINE + odd))
    shown = {name: value for name, value, _ in describe(settings)}["profiles"]
    again = load(config=written(tmp_path / "again.toml", f"profiles = {shown}"))
    assert again.profiles == settings.profiles


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ('{"messages":[{"role":"user"}]}', "[0].name is missing"),
        ('{"name":"a b","messages":[{"role":"user"}]}', "[0].name must be 1 to 64 of the"),
        ('{"name":"a\\n","messages":[{"role":"user"}]}', "[0].name must be 1 to 64 of the"),
        ('{"name":"a"}', "[0].messages is missing, and so is messages_file"),
        ('{"name":"a","messages":[]}', "[0].messages must be a list of messages"),
        ('{"name":"a","messages":[{"content":"Hi"}]}', "[0].messages must be a list of messages"),
        ('{"name":"a","messages":["Hi"]}', "[0].messages must be a list of messages"),
        (
            '{"name":"a","messages":[{"role":"user"}],"messages_file":"m"}',
            "[0].messages_file must not be given beside messages",
        ),
        (
            '{"name":"a","messages_file":"m","tools":[],"tools_file":"t"}',
            "[0].tools_file must not be given beside tools",
        ),
        ('{"name":"a","messages_file":""}', "[0].messages_file must be a path of a JSON file"),
        ('{"name":"a","messages_file":5}', "[0].messages_file must be a path of a JSON file"),
        ('{"name":"a","messages_file":"m","tool":1}', "[0].tool is no part of a profile"),
        ("4", "[0] must be a table"),
        (
            '{"name":"a","messages_file":"m"},{"name":"a","messages_file":"n"}',
            "[1].name is the name of another profile too",
        ),
    ],
)
def test_a_wrong_profile_is_reported_with_the_field_at_fault(profile: str, problem: str) -> None:
    (line,) = refusal({"profiles": f"[{profile}]"})
    assert line.startswith(f"profiles{problem}")
    assert line.endswith(" (command line --profiles)")


@pytest.mark.parametrize("given", ["x", "{", "5", '{"name":"a"}', "[" * 100_000])
def test_profiles_that_are_no_list_are_reported(given: str) -> None:
    (line,) = refusal({"profiles": given})
    assert line.endswith("(command line --profiles): must be a list of tables")
