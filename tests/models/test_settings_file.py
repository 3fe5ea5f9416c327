"""The settings beside a model are checked when they are made and when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    SettingsFileError,
    checked_parameters,
    checked_settings,
    read_settings,
    settings_path,
    write_settings,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "m.1.gguf"


def test_settings_stand_beside_the_file_and_are_read_as_they_were_written(model: Path) -> None:
    settings = ModelSettings(
        parent="p", system="Sé breve.", template="{{ x }}", parameters={"top_k": 3}, license=["MIT"]
    )
    write_settings(model, settings)
    assert [path.name for path in model.parent.iterdir()] == ["m.1.distiller.json"]
    assert read_settings(model) == settings


def test_a_model_without_settings_has_empty_ones_and_they_leave_no_file(model: Path) -> None:
    assert read_settings(model) == NO_SETTINGS
    write_settings(model, ModelSettings(system="x"))
    write_settings(model, NO_SETTINGS)
    assert not settings_path(model).exists()


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{",
        '{"system": 1}',
        '{"system": "\\ud800"}',
        '{"parameters": {"top_k": "many"}}',
        '{"parameters": {"temperature": -1}}',
        '{"parameters": [1]}',
        '{"license": "MIT"}',
        "[" * 5000,
        '{"parameters":{"a":{"b":1}}}',
    ],
)
def test_a_file_that_is_invalid_is_refused_by_name(model: Path, written: str) -> None:
    settings_path(model).write_text(written)
    with pytest.raises(SettingsFileError, match=r"m\.1\.distiller\.json: is invalid"):
        read_settings(model)


def test_a_file_that_is_no_file_is_refused(model: Path) -> None:
    settings_path(model).mkdir()
    with pytest.raises(SettingsFileError, match="cannot be read"):
        read_settings(model)


def test_a_file_that_is_too_large_is_refused(model: Path) -> None:
    settings_path(model).write_bytes(b" " * (8 * 1024**2 + 1))
    with pytest.raises(SettingsFileError, match="is larger than"):
        read_settings(model)


def test_unknown_fields_of_a_newer_version_are_ignored(model: Path) -> None:
    settings_path(model).write_text('{"system": "x", "newer": 1}')
    assert read_settings(model) == ModelSettings(system="x")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"temperature": "0.5"}, {"temperature": 0.5}),
        ({"top_k": 3_000_000}, {"top_k": 1_000_000}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop": ["x", "y"]}),
        ({"num_ctx": "512"}, {"num_ctx": 512}),
        ({"num_predict": -1}, {"num_predict": -1}),
        ({"num_gpu": 3, "f16_kv": True}, {"num_gpu": 3, "f16_kv": True}),
        ({"temperature": None}, {}),
        ({"seed": -1}, {"seed": -1}),
    ],
)
def test_parameters_are_taken_as_ollama_takes_them(
    given: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert checked_parameters(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": "hot"},
        {"temperature": True},
        {"temperature": float("nan")},
        {"top_p": 1.5},
        {"top_k": 1.5},
        {"stop": [""]},
        {"stop": [1]},
        {"stop": ["x"] * 17},
        {"num_ctx": []},
        {"num_predict": 0.5},
        {"anything": {"a": 1}},
        {"anything": [None]},
    ],
)
def test_a_parameter_of_the_wrong_type_or_out_of_range_is_named(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(SettingsFileError) as refused:
        checked_parameters(given)
    assert refused.value.name == f"parameters.{name}"
    assert str(refused.value).startswith(f"parameters.{name}: ")


def test_texts_have_bounds() -> None:
    for name, size in {"system": 512 * 1024, "template": 2**20}.items():
        longest, longer = ({name: "x" * length} for length in (size, size + 1))
        checked_settings(msgspec.structs.replace(NO_SETTINGS, **longest))
        with pytest.raises(SettingsFileError) as refused:
            checked_settings(msgspec.structs.replace(NO_SETTINGS, **longer))
        assert refused.value.name == name
    with pytest.raises(SettingsFileError, match="more than 64"):
        checked_parameters({f"p{n}": n for n in range(65)})


def test_what_a_load_and_a_request_use_of_them() -> None:
    empty = ModelSettings()
    assert (empty.load_params, empty.sampling, empty.stop) == ({}, {}, ())
    assert (empty.max_tokens(7), empty.max_tokens(None)) == (7, None)
    parameters: dict[str, Any] = {
        "top_k": 3,
        "num_gpu": 1,
        "stop": ["x"],
        "num_ctx": 10,
        "num_predict": -2,
    }
    full = ModelSettings(system="s", template="t", parameters=parameters)
    assert full.load_params == {"system_prompt": "s", "chat_template": "t", "n_ctx": 256}
    assert (full.sampling, full.stop, full.max_tokens(7)) == ({"top_k": 3}, ("x",), None)
    assert ModelSettings(parameters={"num_predict": 9}).max_tokens(7) == 9


def test_the_file_is_json_that_people_can_edit(model: Path) -> None:
    write_settings(model, ModelSettings(parent="p", system="x"))
    text = settings_path(model).read_text()
    assert json.loads(text) == {"from": "p", "system": "x"}
    assert text.count("\n") > 2


def test_the_longest_name_of_a_model_may_have_settings(tmp_path: Path) -> None:
    model = tmp_path / f"{'x' * 235}.gguf"
    write_settings(model, ModelSettings(system="x"))
    assert read_settings(model).system == "x"


def test_what_is_accepted_can_be_written_and_read_again(tmp_path: Path) -> None:
    model = tmp_path / "a.gguf"
    values: list[Any] = [
        0,
        -1,
        2**63,
        10**30,
        0.5,
        True,
        "text",
        "\ud800",
        "\0",
        ["a", 1],
        float("inf"),
    ]
    values += [float("nan"), [1.0, float("-inf")], 1e300, -(10**30), [10**30]]
    names = ("unknown", "num_ctx", "num_predict", "seed", "temperature", "top_k", "stop")
    for name in names:
        for value in values:
            try:
                given = checked_settings(ModelSettings(parameters={name: value}))
            except SettingsFileError:
                continue
            write_settings(model, given)
            assert read_settings(model).parameters == given.parameters, (name, value)
