"""What the GGUF header reader returns, and that bad bytes only ever end in `GgufError`.

Covers `app.models.gguf.cursor` too, which reads nothing but headers.
"""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import gguf
from app.models.facts import model_facts
from app.models.gguf import GgufError, GgufHeader, Skipped, ValueType, read_header
from tests.models.gguf_files import (
    ARRAY,
    BOOL,
    FLOAT64,
    FORMATS,
    INT8,
    INT64,
    STRING,
    UINT8,
    UINT64,
    Raw,
    array,
    header,
    llama,
    text,
    typed,
)


def read(data: bytes, *, facts_only: bool = False) -> GgufHeader:
    return read_header(io.BytesIO(data), len(data), facts_only=facts_only)


def refusal(data: bytes) -> str:
    with pytest.raises(GgufError) as caught:
        read(data)
    return str(caught.value)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("version", [2, 3])
def test_both_current_versions_are_read(version: int) -> None:
    found = read(header({"a": 1}, version=version))
    assert (found.version, found.n_tensors, found.n_kv) == (version, 0, 1)
    assert found.complete


@pytest.mark.parametrize("value_type", sorted(FORMATS))
def test_every_number_type_is_read_at_its_own_width(value_type: int) -> None:
    found = read(header({"first": typed(value_type, 1), "second": "still aligned"}))
    assert found.values == {"first": 1, "second": "still aligned"}


def test_signs_and_widths_are_kept() -> None:
    values = {
        "i8": typed(INT8, -5),
        "u64": typed(UINT64, 2**64 - 1),
        "i64": typed(INT64, -(2**63)),
        "f64": typed(FLOAT64, 0.1),
        "yes": True,
        "no": False,
    }
    expected = {"i8": -5, "u64": 2**64 - 1, "i64": -(2**63), "f64": 0.1, "yes": True, "no": False}
    assert read(header(values)).values == expected


def test_strings_are_text_and_broken_utf8_in_them_is_replaced() -> None:
    broken = struct.pack("<I", STRING) + text(b"a\xff")
    found = read(header([("umlaut", "grün"), ("empty", ""), ("broken", Raw(broken))]))
    assert found.values == {"umlaut": "grün", "empty": "", "broken": "a\ufffd"}


def test_short_number_arrays_are_kept_and_long_ones_counted() -> None:
    long = [1] * (gguf.MAX_KEPT_ITEMS + 1)
    found = read(header({"short": [8, 0, 8], "none": [], "long": long, "after": 3})).values
    assert found["short"] == (8, 0, 8)
    assert found["none"] == ()
    assert found["long"] == Skipped(ValueType.INT32, len(long), is_array=True)
    assert found["after"] == 3


def test_string_arrays_are_counted_and_stepped_over() -> None:
    found = read(header({"words": ["x" * n for n in range(300)], "after": "here"})).values
    assert found == {"words": Skipped(ValueType.STRING, 300, is_array=True), "after": "here"}


def test_string_arrays_larger_than_the_read_window_are_stepped_over() -> None:
    words = ["ab" * (n % 50) for n in range(40_000)] + ["y" * 600_000, "z"]
    found = read(header({"words": words, "after": "here"})).values
    assert found["words"] == Skipped(ValueType.STRING, len(words), is_array=True)
    assert found["after"] == "here"


def test_a_very_long_string_is_stepped_over() -> None:
    length = gguf.MAX_KEPT_STRING_BYTES + 1
    found = read(header({"long": "x" * length, "after": 1})).values
    assert found == {"long": Skipped(ValueType.STRING, length, is_array=False), "after": 1}


def test_what_follows_the_header_is_not_read() -> None:
    assert read(header({"a": 1}) + b"tensor data").values == {"a": 1}


# ---------------------------------------------------------------- refusals


def test_a_file_that_is_no_gguf_is_refused() -> None:
    assert "too short" in refusal(b"")
    assert "too short" in refusal(b"GGUF")
    assert "does not begin with 'GGUF'" in refusal(b"<!DOCTYPE html>" + bytes(100))


def test_other_versions_and_byte_orders_are_refused_by_name() -> None:
    assert "version 1" in refusal(header({}, version=1))
    assert "version 4" in refusal(header({}, version=4))
    assert "big-endian" in refusal(header({}, version=0x03000000))


def test_counts_beyond_the_bounds_are_refused() -> None:
    assert "tensors" in refusal(header({}, n_tensors=gguf.MAX_TENSORS + 1))
    assert "keys" in refusal(header({}, n_kv=gguf.MAX_KEYS + 1))
    assert "past the end" in refusal(header({"a": 1}, n_kv=2))


def test_keys_beyond_the_bounds_are_refused() -> None:
    start = header({}, n_kv=1)
    assert "longer than" in refusal(start + text(b"k" * (gguf.MAX_KEY_BYTES + 1)))
    assert "UTF-8" in refusal(start + text(b"\xff\xfe") + bytes(20))
    assert "duplicated" in refusal(header([("a", 1), ("a", 1)]))


def test_values_beyond_the_bounds_are_refused() -> None:
    assert "type 13" in refusal(header({"a": Raw(struct.pack("<I", 13))}))
    assert "neither 0 nor 1" in refusal(header({"a": typed(BOOL, 2)}))
    too_long = struct.pack("<IQ", STRING, gguf.MAX_STRING_BYTES + 1)
    assert "longer than" in refusal(header({"a": Raw(too_long)}))
    cut = struct.pack("<IQ", STRING, 1000)
    assert "past the end" in refusal(header({"a": Raw(cut)}))


def test_arrays_beyond_the_bounds_are_refused() -> None:
    assert "within arrays" in refusal(header({"a": array(ARRAY, 1)}))
    assert "past the end" in refusal(header({"a": array(UINT8, 2**63)}))
    assert "past the end" in refusal(header({"a": array(STRING, 2**61)}))
    assert "past the end" in refusal(header({"a": array(STRING, 1, struct.pack("<Q", 2**64 - 1))}))


def test_a_sparse_file_of_endless_strings_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    path.write_bytes(header({"a": array(STRING, 10**9)}))
    with path.open("r+b") as file:
        file.truncate(10**11)
    with path.open("rb") as file, pytest.raises(GgufError, match="strings"):
        read_header(file, 10**11)


def test_a_file_shorter_than_its_stated_size_is_refused() -> None:
    data = llama(tensors=())
    with pytest.raises(GgufError, match="ended"):
        read_header(io.BytesIO(data[:-20]), len(data))


def test_metadata_that_would_fill_the_memory_is_refused() -> None:
    part = "x" * gguf.MAX_KEPT_STRING_BYTES
    count = gguf.MAX_KEPT_BYTES // len(part) + 1
    assert "metadata is larger" in refusal(header({f"k{n}": part for n in range(count)}))


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(GgufError):
        read(data)


@given(st.binary(max_size=300), st.integers(0, 2**20), st.booleans())
def test_random_metadata_ends_in_a_header_or_a_refusal(
    data: bytes, n_kv: int, facts_only: bool
) -> None:
    content = header({}, n_kv=n_kv) + data
    try:
        model_facts(read(content, facts_only=facts_only))
    except GgufError:
        return


@given(st.integers(0, len(llama()) - 1))
def test_every_truncation_is_refused(length: int) -> None:
    refusal(llama()[:length])


@given(
    st.lists(st.tuples(st.integers(0, len(llama()) - 1), st.integers(0, 255)), max_size=8),
    st.booleans(),
)
def test_flipped_bytes_end_in_a_header_or_a_refusal(
    flips: list[tuple[int, int]], facts_only: bool
) -> None:
    data = bytearray(llama())
    for position, byte in flips:
        data[position] = byte
    try:
        model_facts(read(bytes(data), facts_only=facts_only))
    except GgufError:
        return


def test_hostile_lengths_allocate_no_memory() -> None:
    data = header({"a": array(UINT8, 2**40)})
    tracemalloc.start()
    try:
        refusal(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
