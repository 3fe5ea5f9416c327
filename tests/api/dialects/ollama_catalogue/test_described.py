"""A model is described as Ollama's clients expect it, of its header and its settings.

Covers `app.api.dialects.ollama_catalogue.shown` as well.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest

from app.api.dialects.ollama_catalogue.described import (
    Described,
    describe,
    human_count,
    names_of,
    tagged,
    timestamp,
)
from app.api.dialects.ollama_catalogue.shown import shown
from app.models.catalog import Catalog
from app.models.content.digests import FileDigests
from app.models.settings_file import ModelSettings, settings_path, write_settings
from tests.models.gguf_files import write_llama

FIM: dict[str, Any] = {f"tokenizer__ggml__fim_{part}_token_id": 1 for part in ("pre", "suf", "mid")}
CONTENT = "c" * 64


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def described(
    catalog: Catalog, settings: ModelSettings | None = None, name: str = "a", **values: Any
) -> Described:
    path = catalog.models_dir / f"{name}.gguf"
    write_llama(path, **values)
    if settings:
        write_settings(path, settings)
    digests = FileDigests()
    digests.learn(path, CONTENT)
    return describe(catalog, digests, catalog.find(name))


def show(catalog: Catalog, *, verbose: bool = False, **given: Any) -> dict[str, Any]:
    found = described(catalog, **given)
    return shown(found, catalog.header(found.file).values, 512, verbose=verbose)


def test_an_entry_has_what_clients_read(catalog: Catalog) -> None:
    found = described(catalog)
    entry = found.listed(found.name)
    assert entry["name"] == entry["model"] == "a:latest"
    assert entry["digest"] == CONTENT
    assert entry["size"] == (catalog.models_dir / "a.gguf").stat().st_size
    assert datetime.datetime.fromisoformat(entry["modified_at"]).tzinfo is not None
    assert entry["capabilities"] == ["completion", "tools"]
    assert entry["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": human_count(found.card.n_params),
        "quantization_level": "Q4_K_M",
        "context_length": 2048,
        "embedding_length": 256,
    }


def test_capabilities_are_those_of_header_and_settings(catalog: Catalog) -> None:
    thinking = "{% if enable_thinking %}{% endif %}"
    assert described(catalog, tokenizer__chat_template=thinking).capabilities[2:] == ["thinking"]
    assert described(catalog, **FIM).capabilities[2:] == ["insert"]
    by_settings = described(catalog, ModelSettings(template=thinking))
    assert by_settings.capabilities[2:] == ["thinking"]
    plain = ModelSettings(template="{{ messages }}")
    assert not described(catalog, plain, tokenizer__chat_template=thinking).capabilities[2:]


def test_a_digest_is_unique_and_stable_before_that_of_the_content_is_known(
    catalog: Catalog,
) -> None:
    digests = FileDigests()
    digests.close()
    for name in ("a", "b"):
        write_llama(catalog.models_dir / f"{name}.gguf")
    first, second = (describe(catalog, digests, catalog.find(name)).digest for name in "ab")
    assert len(first) == len(second) == 64
    assert first != second
    assert first == describe(catalog, digests, catalog.find("a")).digest


def test_settings_make_another_model_of_the_same_content(catalog: Catalog) -> None:
    plain = described(catalog)
    system = described(catalog, ModelSettings(system="x"))
    other = described(catalog, ModelSettings(system="y"))
    assert len({plain.digest, system.digest, other.digest}) == 3


def test_a_model_changes_with_its_settings(catalog: Catalog) -> None:
    described(catalog, ModelSettings(system="x"))
    path = catalog.models_dir / "a.gguf"
    os.utime(path, (10, 10))
    os.utime(settings_path(path), (20, 20))
    assert describe(catalog, FileDigests(), catalog.find("a")).modified_s == 20


def test_invalid_settings_do_not_hide_a_model(catalog: Catalog) -> None:
    settings_path(catalog.models_dir / "a.gguf").write_text("{")
    assert described(catalog).digest == CONTENT


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1500, "1.5K"),
        (134_515_008, "134.5M"),
        (2_000_000, "2M"),
        (3_212_749_888, "3.2B"),
        (7_000_000_000, "7B"),
    ],
)
def test_numbers_of_parameters_are_written_for_people(number: int, text: str) -> None:
    assert human_count(number) == text


def test_a_name_without_a_tag_gets_one() -> None:
    assert (tagged("a"), tagged("a:1b")) == ("a:latest", "a:1b")


def test_a_time_has_microseconds_and_a_numeric_zone() -> None:
    assert timestamp(0.5) == "1970-01-01T00:00:00.500000+00:00"


# ---------------------------------------------------------------- /api/show


def test_the_metadata_has_the_keys_that_clients_look_for(catalog: Catalog) -> None:
    info = show(catalog)["model_info"]
    assert info["general.architecture"] == "llama"
    assert info["general.basename"] == "Tiny"
    assert info["llama.context_length"] == 2048
    assert info["llama.embedding_length"] == 256
    assert info["general.parameter_count"] > 0
    assert info["tokenizer.ggml.tokens"] is None
    assert "tokenizer.chat_template" not in info


def test_arrays_are_shown_where_they_are_asked_for(catalog: Catalog) -> None:
    key = "tokenizer.ggml.scores"
    assert show(catalog)["model_info"][key] is None
    assert show(catalog, verbose=True)["model_info"][key] == [0.0, 1.0, 2.0]


def test_parameters_are_lines_of_a_name_and_a_value(catalog: Catalog) -> None:
    parameters: dict[str, Any] = {"temperature": 0.5, "stop": ["</s>", 'a "b"'], "num_ctx": 9999}
    text = show(catalog, settings=ModelSettings(parameters=parameters))["parameters"]
    pairs = [tuple(line.split(None, 1)) for line in text.splitlines()]
    assert pairs == [
        ("num_ctx", "512"),
        ("stop", '"</s>"'),
        ("stop", '"a \\"b\\""'),
        ("temperature", "0.5"),
    ]


def test_template_system_and_licence_are_those_of_the_settings_else_of_the_file(
    catalog: Catalog,
) -> None:
    plain = show(catalog, general__license="mit")
    assert (plain["template"], plain["system"], plain["license"]) == ("{{ messages }}", "", "mit")
    settings = ModelSettings(template="{{ x }}", system="Be brief.", license=["one", "two"])
    changed = show(catalog, settings=settings)
    assert (changed["template"], changed["system"]) == ("{{ x }}", "Be brief.")
    assert changed["license"] == "one\ntwo"
    assert 'SYSTEM """Be brief."""' in changed["modelfile"]
    assert changed["modelfile"].startswith("FROM a:latest\n")


def test_the_template_of_a_model_that_fills_gaps_has_the_word_that_clients_look_for(
    catalog: Catalog,
) -> None:
    assert ".Suffix" in show(catalog, **FIM)["template"]
    assert ".Suffix" not in show(catalog)["template"]


def test_a_model_is_listed_once_by_each_of_its_names() -> None:
    assert names_of("small:latest", ["fast", "small", "pair:8b", "fast:latest"]) == [
        "small:latest",
        "fast:latest",
        "pair:8b",
    ]
