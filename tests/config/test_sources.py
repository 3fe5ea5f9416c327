"""Where the value of a setting is from, and which sources are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from app.config.settings import ENV_PREFIX, Settings, setting_names
from app.config.sources import (
    describe,
    is_switch,
    load_settings,
    unknown_environment,
)
from app.errors import SettingsInvalid
from app.protocol import LoadParams, SamplingParams
from tests.config.loading import load, refusal, write

# ---------------------------------------------------------------- precedence


def test_without_any_source_all_values_are_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.part(LoadParams) == LoadParams()
    assert settings.model_name is None
    assert {source for _, _, source in describe(settings)} == {"default"}


def test_models_and_cache_lie_beside_the_package_by_default() -> None:
    project = Path(__file__).parents[2]
    assert load().models_dir == project / "models"
    assert load().cache_dir == project / "cache"


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "c.toml", "port = 1\nn_ctx = 1024\ntop_k = 11\n")
    monkeypatch.setenv("DISTILLER_LLM_PORT", "2")
    monkeypatch.setenv("DISTILLER_LLM_N_CTX", "2048")
    settings = load({"port": "3"}, config)
    sampling = settings.part(SamplingParams)
    assert (settings.port, settings.part(LoadParams).n_ctx) == (3, 2048)
    assert (sampling.top_k, sampling.top_p) == (11, 0.95)
    assert settings.source("port") == "command line --port"
    assert settings.source("n_ctx") == "environment DISTILLER_LLM_N_CTX"
    assert settings.source("top_k") == str(config)
    assert settings.source("top_p") == "default"


def test_every_setting_can_be_given_in_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {name: value for name, value, _ in describe(load())}
    assert load({name: value.strip('"') for name, value in values.items()}) == load_copy(values)
    config = write(tmp_path / "c.toml", "\n".join(f"{n} = {v}" for n, v in values.items()))
    assert dict(load(config=config)) == dict(load())
    for name, value in values.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), value.strip('"'))
    from_environment = load()
    assert dict(from_environment) == dict(load_copy(values))
    assert {s.split()[0] for _, _, s in describe(from_environment)} == {"environment"}


def load_copy(values: dict[str, str]) -> Settings:
    return load({name: tomllib.loads(f"x = {value}")["x"] for name, value in values.items()})


def test_the_first_configuration_file_that_exists_is_used(tmp_path: Path) -> None:
    second = write(tmp_path / "second.toml", "port = 2")
    third = write(tmp_path / "third.toml", "port = 3")
    assert load(search=(tmp_path / "first.toml", second, third)).port == 2


def test_a_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    if Path("/etc/distiller-llm/config.toml").exists():
        pytest.skip("this machine has a configuration of its own")
    write(tmp_path / "distiller-llm.toml", "port = 7")
    settings = load_settings({})
    assert settings.port == 7
    assert settings.source("port") == "distiller-llm.toml"


def test_an_empty_environment_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLER_LLM_PORT", "")
    assert load().port == 8000


def test_a_command_line_value_of_none_is_none() -> None:
    assert load({"port": None}).port == 8000


# ---------------------------------------------------------------- names and files


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "n-ctx = 1\nmodelname = 'x'\nzzz = 1\n")
    assert refusal(config=config) == [
        f"n-ctx ({config}): is no setting; did you mean n_ctx?",
        f"modelname ({config}): is no setting; did you mean model_name?",
        f"zzz ({config}): is no setting",
    ]


def test_a_table_in_the_file_is_refused(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "[server]\nport = 1\n")
    assert refusal(config=config) == [
        f"server ({config}): is no setting; settings stand at the top level, not in tables"
    ]


def test_unknown_names_and_wrong_values_are_reported_together(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "prot = 1\nport = -1\n")
    assert len(refusal(config=config)) == 2


def test_bad_toml_is_reported_with_file_and_line(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "port = 1\nn_ctx =\n")
    (line,) = refusal(config=config)
    assert line.startswith(f"{config}: is not valid TOML: ")
    assert "line 2" in line


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_bytes(b"port = \xff")
    assert "is not valid TOML" in refusal(config=config)[0]


def test_a_missing_file_is_an_error_only_when_it_was_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(config=missing) == [f"{missing}: there is no such file"]
    assert load(search=(missing,)).port == 8000


def test_a_file_that_exists_and_cannot_be_read_is_never_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read: Is a directory"):
        load(search=(tmp_path,))


def test_unknown_environment_variables_are_told_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTILLER_LLM_PORT", "1")
    assert unknown_environment() == []
    monkeypatch.setenv("DISTILLER_LLM_PROT", "1")
    assert unknown_environment() == [
        "environment variable DISTILLER_LLM_PROT is no setting; did you mean DISTILLER_LLM_PORT?"
    ]
    assert load().port == 1


def test_every_wrong_value_has_a_line_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "c.toml", "top_p = 7\n")
    monkeypatch.setenv("DISTILLER_LLM_TOP_K", "many")
    assert sorted(refusal({"port": "-1"}, config)) == [
        'port = "-1" (command line --port): must be a whole number from 0 to 65535',
        'top_k = "many" (environment DISTILLER_LLM_TOP_K): '
        "must be a whole number from -1 to 1000000",
        f"top_p = 7 ({config}): must be a number from 0 to 1",
    ]


def test_a_secret_is_taken_from_the_environment_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTILLER_LLM_API_KEYS", "laptop:0123456789abcdef")
    settings = load()
    assert settings.api_keys is not None
    assert settings.api_keys.get_secret_value() == "laptop:0123456789abcdef"
    (shown,) = [value for name, value, _ in describe(settings) if name == "api_keys"]
    assert shown == '"**********"'


def test_paths_in_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = write(tmp_path / "etc" / "c.toml", 'models_dir = "m"\ncache_dir = "/var/c"\n')
    assert load(config=config).models_dir == tmp_path / "etc" / "m"
    assert load(config=config).cache_dir == Path("/var/c")


def test_switches_are_the_settings_that_are_only_true_or_false() -> None:
    switches = [name for name in setting_names() if is_switch(name)]
    assert switches == [
        "allow_unauthenticated",
        "use_mmap",
        "use_mlock",
        "verbose",
        "ignore_eos",
        "speculation",
    ]
