"""Headers are read once for each state of a file, and forgotten with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.models.facts import ModelFacts
from app.models.gguf import GgufError
from app.models.headers import HeaderCache
from tests.models.gguf_files import llama, write_llama


def test_a_reading_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf")
    cache = HeaderCache()
    first = cache.read(path)
    assert isinstance(first.facts, ModelFacts)
    assert cache.read(path) is first
    write_llama(path, general__type="adapter")
    assert cache.read(path).kind.refusal


def test_a_file_of_the_same_size_and_another_time_is_read_again(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf", general__name="one")
    cache = HeaderCache()
    first = cache.read(path)
    write_llama(path, general__name="two")
    os.utime(path, (1, 1))
    assert cache.read(path) is not first


def test_a_damaged_file_is_an_error_each_time_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(llama()[:50])
    cache = HeaderCache()
    with pytest.raises(GgufError, match="past the end"):
        cache.read(path)
    monkeypatch.setattr("app.models.headers.read_header", None)
    with pytest.raises(GgufError, match="past the end"):
        cache.read(path)


def test_a_header_without_facts_still_says_what_the_file_is(tmp_path: Path) -> None:
    reading = HeaderCache().read(write_llama(tmp_path / "m.gguf", general__architecture=None))
    assert reading.kind.refusal
    assert isinstance(reading.facts, GgufError)


def test_a_file_that_is_gone_is_an_error_and_forgotten(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf")
    cache = HeaderCache()
    cache.read(path)
    cache.keep_only([path])
    assert cache._readings.keys() == {path}
    cache.keep_only([])
    assert not cache._readings
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        cache.read(path)
