"""Which values a setting may have, and how a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic
import pytest

from app.config.settings import Settings, setting_names
from app.config.sources import (
    allowed_values,
)
from app.protocol import LoadParams, SamplingParams
from tests.config.loading import load, refusal


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


def test_a_quantised_value_cache_needs_flash_attention() -> None:
    (line,) = refusal({"type_v": "q8_0", "flash_attn": "false"})
    assert line.startswith('type_v = "q8_0" (command line --type-v): must be one of f32, f16, bf16')
    assert load({"type_v": "q8_0"}).part(LoadParams).type_v == "q8_0"


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
