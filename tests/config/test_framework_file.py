"""The framework's JSON configuration as a source of settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.config.settings import Settings
from app.config.sources import load_settings
from app.errors import SettingsInvalid
from app.parameters.answer import AnswerParams
from app.parameters.load import LoadParams
from app.parameters.sampling import SamplingParams

DEVICE = {
    "server_url": "http://127.0.0.1:8123",
    "model_name": "qwen2.5-3b-instruct-q4_k_m.gguf",
    "timeout": 150,
    "temperature": 0.7,
    "max_tokens": 4096,
    "n_ctx": 8192,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "stop": ["user:"],
}


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCP_CONFIG_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


def written(folder: Path, part: Any) -> Path:
    path = folder / "mcp_config.json"
    providers = {"llama-cpp": part, "openai": {"api_key": "x"}}
    path.write_text(json.dumps({"llm_providers": providers, "active_llm_provider": "llama-cpp"}))
    return path


def load(path: Path, **cli: Any) -> Settings:
    return load_settings(cli, framework_path=path, search=())


def refusal(path: Path) -> str:
    with pytest.raises(SettingsInvalid) as refused:
        load(path)
    return refused.value.message


def test_what_the_framework_says_of_its_server_are_settings(tmp_path: Path) -> None:
    path = written(tmp_path, DEVICE)
    settings = load(path)
    assert (settings.host, settings.port) == ("127.0.0.1", 8123)
    assert settings.model_name == DEVICE["model_name"]
    sampling = settings.part(SamplingParams)
    assert (sampling.temperature, sampling.top_p, sampling.repeat_penalty) == (0.7, 0.9, 1.1)
    assert settings.part(AnswerParams).max_tokens == 4096
    assert settings.part(LoadParams).n_ctx == 8192
    assert settings.source("repeat_penalty").endswith("llm_providers.llama-cpp.repetition_penalty")
    assert settings.source("port").endswith("mcp_config.json llm_providers.llama-cpp.server_url")
    assert settings.warnings == []


def test_it_stands_between_the_environment_and_the_configuration_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("temperature = 0.1\ntop_p = 0.1\ntop_k = 1\n")
    monkeypatch.setenv("DISTILLER_LLM_TOP_P", "0.5")
    path = written(tmp_path, {"temperature": 0.7, "top_p": 0.7, "n_ctx": 1024})
    settings = load_settings({"n_ctx": 2048}, config, framework_path=path)
    sampling = settings.part(SamplingParams)
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.7, 0.5, 1)
    assert settings.part(LoadParams).n_ctx == 2048


def test_a_variable_names_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_CONFIG_FILE", str(written(tmp_path, {"temperature": 0.3})))
    assert load_settings({}, search=()).part(SamplingParams).temperature == 0.3


def test_a_file_that_only_the_variable_names_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_CONFIG_FILE", str(tmp_path / "missing.json"))
    (warning,) = load_settings({}, search=()).warnings
    assert "missing.json" in warning
    assert "cannot be read" in refusal(tmp_path / "missing.json")


def test_keys_that_mean_nothing_here_are_named_in_one_warning(tmp_path: Path) -> None:
    settings = load(written(tmp_path, {"voice": "x", "cache_dir": "/x", "top_k": 5}))
    (warning,) = settings.warnings
    assert "voice, cache_dir" in warning
    assert settings.part(SamplingParams).top_k == 5
    assert settings.source("cache_dir") == "default"


def test_null_is_not_given(tmp_path: Path) -> None:
    assert (
        load(written(tmp_path, {"n_ctx": None, "server_url": None})).part(LoadParams).n_ctx == 4096
    )


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"temperature": "hot"}, "llm_providers.llama-cpp.temperature"),
        ({"repetition_penalty": -1}, "llm_providers.llama-cpp.repetition_penalty"),
        ({"n_ctx": True}, "llm_providers.llama-cpp.n_ctx"),
        ({"server_url": "127.0.0.1:8000"}, "llm_providers.llama-cpp.server_url"),
        ({"server_url": "https://127.0.0.1"}, "llm_providers.llama-cpp.server_url"),
        ({"server_url": "http://127.0.0.1:99999"}, "llm_providers.llama-cpp.server_url"),
        ({"server_url": 8000}, "llm_providers.llama-cpp.server_url"),
        ([], "llm_providers.llama-cpp"),
    ],
)
def test_a_wrong_value_is_told_with_the_path_of_its_key(
    tmp_path: Path, part: Any, named: str
) -> None:
    message = refusal(written(tmp_path, part))
    assert named in message
    assert "mcp_config.json" in message


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"llm_providers": 5}', "[" * 100_000])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mcp_config.json"
    path.write_text(content)
    assert "mcp_config.json" in refusal(path)


@pytest.mark.parametrize("content", ["{}", '{"llm_providers": {"openai": {}}}'])
def test_a_framework_without_this_server_is_only_a_warning(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mcp_config.json"
    path.write_text(content)
    (warning,) = load(path).warnings
    assert "llm_providers.llama-cpp" in warning


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://localhost:9000/v1", "localhost", 9000),
        ("http://[::1]:9000", "::1", 9000),
        ("http://127.0.0.1", "127.0.0.1", 8000),
        ("http://192.168.1.20:9000", "127.0.0.1", 9000),
    ],
)
def test_only_an_address_of_this_device_is_listened_on(
    tmp_path: Path, url: str, host: str, port: int
) -> None:
    settings = load(written(tmp_path, {"server_url": url}))
    assert (settings.host, settings.port) == (host, port)


def test_the_option_is_taken_by_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, DEVICE | {"voice": "x"})
    assert main(["check-config", "--framework-config", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "llm_providers.llama-cpp.temperature: temperature" in out
    assert "voice" in err
