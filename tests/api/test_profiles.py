"""Profiles of the settings become what is restored, checked as a chat request is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.api.profiles import read_profiles
from app.cli.main import main
from app.config.settings import Settings
from app.config.sources import load_settings
from app.errors import SettingsInvalid

SYSTEM = {"role": "system", "content": "You are careful.", "extra": [1, None]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def settings(*profiles: dict[str, Any]) -> Settings:
    return load_settings({"profiles": json.dumps(profiles)}, search=())


def problems(*profiles: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsInvalid) as refused:
        read_profiles(settings(*profiles))
    return refused.value.message.splitlines()


def test_messages_and_tools_are_kept_as_they_are_written() -> None:
    (profile,) = read_profiles(
        settings({"name": "a", "model": "m.gguf", "messages": [SYSTEM], "tools": [TOOL]})
    )
    assert (profile.name, profile.model) == ("a", "m.gguf")
    assert (profile.messages, profile.tools) == ([SYSTEM], [TOOL])


def test_a_model_may_be_named_by_an_alias() -> None:
    models = json.dumps([{"name": "m.gguf", "aliases": ["helper"]}])
    profiles = json.dumps([{"name": "a", "model": "Helper:latest", "messages": [SYSTEM]}])
    (profile,) = read_profiles(load_settings({"models": models, "profiles": profiles}, search=()))
    assert profile.model == "m.gguf"


def test_they_may_come_from_files(tmp_path: Path) -> None:
    messages, tools = tmp_path / "m.json", tmp_path / "t.json"
    messages.write_text(json.dumps([SYSTEM]))
    tools.write_text(json.dumps([TOOL]))
    files = {"messages_file": str(messages), "tools_file": str(tools)}
    (profile,) = read_profiles(settings({"name": "a", **files}))
    assert (profile.messages, profile.tools) == ([SYSTEM], [TOOL])


def test_a_date_of_the_configuration_file_reaches_the_template_as_text(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('profiles = [{name="a", messages=[{role="system", day=2024-05-06}]}]')
    (profile,) = read_profiles(load_settings({}, config))
    assert profile.messages == [{"role": "system", "day": "2024-05-06"}]


def test_a_wrong_value_is_named_where_it_is_written() -> None:
    good = {"name": "good", "messages": [SYSTEM]}
    robot = {"name": "bad", "messages": [SYSTEM, {"role": "robot"}]}
    tool = {"name": "worse", "messages": [SYSTEM], "tools": [{"type": "function"}]}
    first, second = problems(good, robot, tool)
    assert first.startswith("profiles[1].messages[1].role is wrong: Input should be 'system'")
    assert first.endswith(" (command line --profiles)")
    assert second.startswith("profiles[2].tools[0].function is wrong: Field required")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"role":"system"}', "messages: must be a list of messages, each with role and content"),
        ("[]", "messages: List should have at least 1 item"),
        ('[{"role":"robot"}]', "messages[0].role: Input should be 'system'"),
        ("[", " is no valid JSON: "),
        ("\xff", " is no valid JSON: "),
        (None, " cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "m.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    (line,) = problems({"name": "a", "messages_file": str(path)})
    assert line.startswith(f'profiles[0].messages_file = "{path}"')
    assert problem in line


def test_a_wrong_profile_ends_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    profiles = json.dumps([{"name": "a", "messages": [{"role": "robot"}]}])
    assert main(["check-config", "--profiles", profiles]) == 2
    assert capsys.readouterr().err.startswith("distiller-llm: profiles[0].messages[0].role ")
