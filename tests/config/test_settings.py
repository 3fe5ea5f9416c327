"""Where each setting's value comes from, what it may be, and how a wrong one is reported."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pydantic
import pytest

from app.config.settings import ENV_PREFIX, Settings, setting_names
from app.config.sources import (
    allowed_values,
    describe,
    is_switch,
    load_settings,
    unknown_environment,
)
from app.errors import SettingsInvalid
from app.protocol import LoadParams, SamplingParams


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def load(
    cli: dict[str, Any] | None = None, config: Path | None = None, search: tuple[Path, ...] = ()
) -> Settings:
    return load_settings(cli or {}, config, search=search)


def refusal(cli: dict[str, Any] | None = None, config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(cli, config)
    return caught.value.message.splitlines()


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


# ---------------------------------------------------------------- sources


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
    config = written(tmp_path / "c.toml", "port = 1\nn_ctx = 1024\ntop_k = 11\n")
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
    config = written(tmp_path / "c.toml", "\n".join(f"{n} = {v}" for n, v in values.items()))
    assert dict(load(config=config)) == dict(load())
    for name, value in values.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), value.strip('"'))
    from_environment = load()
    assert dict(from_environment) == dict(load_copy(values))
    assert {s.split()[0] for _, _, s in describe(from_environment)} == {"environment"}


def load_copy(values: dict[str, str]) -> Settings:
    return load({name: tomllib.loads(f"x = {value}")["x"] for name, value in values.items()})


def test_the_first_configuration_file_that_exists_is_used(tmp_path: Path) -> None:
    second = written(tmp_path / "second.toml", "port = 2")
    third = written(tmp_path / "third.toml", "port = 3")
    assert load(search=(tmp_path / "first.toml", second, third)).port == 2


def test_a_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    if Path("/etc/distiller-llm/config.toml").exists():
        pytest.skip("this machine has a configuration of its own")
    written(tmp_path / "distiller-llm.toml", "port = 7")
    settings = load_settings({})
    assert settings.port == 7
    assert settings.source("port") == "distiller-llm.toml"


def test_an_empty_environment_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLER_LLM_PORT", "")
    assert load().port == 8000


def test_a_command_line_value_of_none_is_none() -> None:
    assert load({"port": None}).port == 8000


def test_settings_made_directly_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLER_LLM_PORT", "1")
    assert Settings().port == 8000


def test_settings_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        load().port = 1  # type: ignore[misc]


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("port", "0", 0),
        ("port", " 8080 ", 8080),
        ("log_level", "WARNING", "warning"),
        ("use_mmap", "false", False),
        ("use_mmap", "no", False),
        ("verbose", "1", True),
        ("flash_attn", "auto", None),
        ("flash_attn", "on", True),
        ("n_threads", "auto", None),
        ("n_threads", "none", None),
        ("seed", "42", 42),
        ("max_tokens", "auto", None),
        ("reasoning_format", "NONE", "none"),
        ("reasoning_format", "auto", "auto"),
        ("reasoning_budget", "auto", None),
        ("reasoning_budget", "0", 0),
        ("speculation", "off", False),
        ("repeat_last_n", "-1", -1),
        ("model_name", "auto", None),
        ("model_name", "a.gguf", "a.gguf"),
        ("temperature", "0", 0.0),
        ("frequency_penalty", "-0.5", -0.5),
        ("type_k", "q8_0", "q8_0"),
        ("stop_timeout_s", "0.5", 0.5),
        ("chat_template", "  {{ x }}\n", "  {{ x }}\n"),
    ],
)
def test_texts_become_values(name: str, given: str, value: object) -> None:
    assert getattr(load({name: given}), name) == value


def test_paths_are_made_absolute_from_the_working_directory(tmp_path: Path) -> None:
    settings = load({"models_dir": "m", "cache_dir": "~/c"})
    assert settings.models_dir == tmp_path / "m"
    assert settings.cache_dir == Path.home() / "c"
    assert load({"models_dir": "."}).models_dir == tmp_path


def test_paths_in_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = written(tmp_path / "etc" / "c.toml", 'models_dir = "m"\ncache_dir = "/var/c"\n')
    assert load(config=config).models_dir == tmp_path / "etc" / "m"
    assert load(config=config).cache_dir == Path("/var/c")


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "9" * 5000, "a whole number from 0 to 65535"),
        ("port", True, "a whole number from 0 to 65535"),
        ("port", [1], "a whole number from 0 to 65535"),
        ("host", "", "a text"),
        ("host", "\udc80", "a text"),
        ("n_ctx", "255", "a whole number from 256 to 16777216"),
        ("n_ctx", "1024.5", "a whole number from 256 to 16777216"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("type_k", "q9_0", "one of f32, f16, bf16, q8_0"),
        ("use_mmap", "maybe", "true or false"),
        ("speculation", "auto", "true or false"),
        ("reasoning_format", "deepseek", "one of auto, none"),
        ("reasoning_budget", "-2", "a whole number from -1 to 16777216, or auto"),
        ("max_tokens", "0", "a whole number from 1 to 16777216, or -1, or auto"),
        ("seed", "-2", "a whole number from -1 to 9223372036854775807, or auto"),
        ("use_mmap", "auto", "true or false"),
        ("flash_attn", "maybe", "true or false, or auto"),
        ("temperature", "nan", "a number from 0 to 100"),
        ("temperature", "inf", "a number from 0 to 100"),
        ("temperature", "-0.1", "a number from 0 to 100"),
        ("repeat_penalty", "0", "a number above 0, at most 10"),
        ("rope_freq_base", "0", "a number above 0, or auto"),
        ("max_body_bytes", "1023", "a whole number from 1024"),
        ("allowed_hosts", '["box.lan:8000"]', "a list of names or addresses without a port"),
        ("allowed_hosts", '["http://box.lan"]', "a list of names or addresses without a port"),
        ("allowed_hosts", "box.lan", "a list of names or addresses without a port"),
        ("cors_origins", '["example.org"]', "a list of origins such as https://example.org"),
        ("cors_origins", '["https://example.org/"]', "a list of origins such as"),
        ("cors_origins", '["null"]', "a list of origins such as https://example.org"),
        ("models_dir", "", "a path"),
        ("models_dir", "a\0b", "a path"),
        ("models_dir", "~no-such-user-here/m", "a path"),
    ],
)
def test_a_wrong_value_is_reported_with_what_is_allowed(
    name: str, given: object, allowed: str
) -> None:
    (line,) = refusal({name: given})
    assert line.startswith(f"{name} = ")
    assert f"(command line --{name.replace('_', '-')}): must be {allowed}" in line
    assert len(line) < 250


def test_hosts_and_origins_are_compared_in_lower_case_and_one_form() -> None:
    settings = load({"allowed_hosts": '["Box.LAN.", "[FE80::1]", "fe80::2"]'})
    assert settings.allowed_hosts == ["box.lan", "fe80::1", "fe80::2"]
    origins = ["https://Chat.example.org:8443", "tauri://localhost", "http://[::1]:3000", "*"]
    assert load({"cors_origins": json.dumps(origins)}).cors_origins == [
        origin.lower() for origin in origins
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


def test_every_wrong_value_has_a_line_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path / "c.toml", "top_p = 7\n")
    monkeypatch.setenv("DISTILLER_LLM_TOP_K", "many")
    assert sorted(refusal({"port": "-1"}, config)) == [
        'port = "-1" (command line --port): must be a whole number from 0 to 65535',
        'top_k = "many" (environment DISTILLER_LLM_TOP_K): '
        "must be a whole number from -1 to 1000000",
        f"top_p = 7 ({config}): must be a number from 0 to 1",
    ]


def test_a_quantised_value_cache_needs_flash_attention() -> None:
    (line,) = refusal({"type_v": "q8_0", "flash_attn": "false"})
    assert line.startswith('type_v = "q8_0" (command line --type-v): must be one of f32, f16, bf16')
    assert load({"type_v": "q8_0"}).part(LoadParams).type_v == "q8_0"


# ---------------------------------------------------------------- names and files


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    config = written(tmp_path / "c.toml", "n-ctx = 1\nmodelname = 'x'\nzzz = 1\n")
    assert refusal(config=config) == [
        f"n-ctx ({config}): is no setting; did you mean n_ctx?",
        f"modelname ({config}): is no setting; did you mean model_name?",
        f"zzz ({config}): is no setting",
    ]


def test_a_table_in_the_file_is_refused(tmp_path: Path) -> None:
    config = written(tmp_path / "c.toml", "[server]\nport = 1\n")
    assert refusal(config=config) == [
        f"server ({config}): is no setting; settings stand at the top level, not in tables"
    ]


def test_unknown_names_and_wrong_values_are_reported_together(tmp_path: Path) -> None:
    config = written(tmp_path / "c.toml", "prot = 1\nport = -1\n")
    assert len(refusal(config=config)) == 2


def test_bad_toml_is_reported_with_file_and_line(tmp_path: Path) -> None:
    config = written(tmp_path / "c.toml", "port = 1\nn_ctx =\n")
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


# ---------------------------------------------------------------- rows


def test_dry_ends_passages_where_llama_cpp_does() -> None:
    sampling = load().part(SamplingParams)
    assert sampling.dry_sequence_breakers == ["\n", ":", '"', "*"]


@pytest.mark.parametrize("value", ["[]", '[""]', '["a", 5]', "a", '"a"'])
def test_wrong_sequence_breakers_are_refused_with_what_is_allowed(value: str) -> None:
    (line,) = refusal({"dry_sequence_breakers": value})
    assert line.endswith("must be a list of 1 to 8 texts, each of 1 to 20 characters")


def test_every_setting_says_what_it_is_for_and_what_it_may_be() -> None:
    for name in setting_names():
        assert Settings.model_fields[name].description, name
        assert allowed_values(name), name


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
