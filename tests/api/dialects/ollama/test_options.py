"""Ollama's options become fields of a chat request; those of a load are only checked."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.ollama.options import option_of, read_options
from app.errors import InvalidRequest

ALL: dict[str, Any] = {
    "draft_num_predict": 3,
    "embedding_only": False,
    "f16_kv": True,
    "frequency_penalty": 0.1,
    "logits_all": False,
    "low_vram": False,
    "main_gpu": 0,
    "min_p": 0.1,
    "mirostat": 0,
    "mirostat_eta": 0.1,
    "mirostat_tau": 5,
    "num_batch": 512,
    "num_ctx": 131072,
    "num_gpu": -1,
    "num_keep": 4,
    "num_predict": 7,
    "num_thread": 4,
    "numa": False,
    "penalize_newline": True,
    "presence_penalty": 1,
    "repeat_last_n": 64,
    "repeat_penalty": 1.1,
    "seed": 42,
    "stop": ["\n"],
    "temperature": 0,
    "tfs_z": 1,
    "top_k": 40,
    "top_p": 0.9,
    "typical_p": 1,
    "use_mlock": False,
    "use_mmap": True,
    "vocab_only": False,
}
IGNORED = {
    "draft_num_predict",
    "embedding_only",
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_thread",
    "numa",
    "penalize_newline",
    "tfs_z",
    "use_mlock",
    "use_mmap",
    "vocab_only",
}


def fields(**options: Any) -> dict[str, Any]:
    return dict(read_options(options).fields)


@pytest.mark.parametrize("given", [None, {}, dict.fromkeys(ALL)])
def test_null_is_left_out(given: dict[str, Any] | None) -> None:
    read = read_options(given)
    assert (dict(read.fields), read.unknown) == ({}, ())


def test_sampling_parameters_are_taken_and_those_of_a_load_ignored() -> None:
    read = read_options(ALL)
    assert read.unknown == ()
    kept = {name: value for name, value in ALL.items() if name not in IGNORED}
    kept["max_tokens"] = kept.pop("num_predict")
    assert dict(read.fields) == kept


def test_the_services_own_parameters_are_taken_by_their_names() -> None:
    assert fields(xtc_probability=0.5, max_tokens=3) == {"xtc_probability": 0.5, "max_tokens": 3}


def test_unknown_ones_are_named_and_their_names_cut() -> None:
    read = read_options({"foo": {"secret": 1}, "b" * 100: None, "top_k": 1})
    assert read.unknown == ("foo", "b" * 64)
    assert dict(read.fields) == {"top_k": 1}


@pytest.mark.parametrize(("given", "limit"), [(5, 5), (-1, -1), (-2, -1), (0, -1), (5.0, 5)])
def test_a_limit_below_one_is_none(given: float, limit: int) -> None:
    assert fields(num_predict=given) == {"max_tokens": limit}


@pytest.mark.parametrize(("given", "read"), [(40.0, 40), (40.7, 40), (-1, -1)])
def test_fractions_of_whole_numbers_are_cut_off(given: float, read: int) -> None:
    assert fields(top_k=given) == {"top_k": read}


@pytest.mark.parametrize(
    ("given", "read"), [("x", "x"), (["x", ""], ["x"]), ([], []), ("", None), ([""], [])]
)
def test_stop_strings_are_a_list_or_one_text_and_empty_ones_are_left_out(
    given: Any, read: Any
) -> None:
    assert fields(stop=given) == {"stop": read}


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("given", ["1", {}, [[]]])
def test_a_wrong_type_is_refused_by_name(name: str, given: Any) -> None:
    if name == "stop" and isinstance(given, str | list):
        return
    with pytest.raises(InvalidRequest) as refused:
        read_options({name: given})
    assert refused.value.param == f"options.{name}"
    assert refused.value.message.startswith(f"options.{name}: ")


@pytest.mark.parametrize("name", ["top_k", "num_ctx", "temperature", "seed"])
def test_a_switch_is_no_number(name: str) -> None:
    with pytest.raises(InvalidRequest):
        read_options({name: True})


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("top_k", "options.top_k"),
        ("max_tokens", "options.num_predict"),
        ("stop[2]", "options.stop[2]"),
        ("messages[0].content", None),
        ("logprobs", None),
    ],
)
def test_a_field_has_the_name_of_its_option(field: str, option: str | None) -> None:
    assert option_of(field) == option
