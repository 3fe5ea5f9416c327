"""The list of tensors is believed only as far as the file reaches."""

from __future__ import annotations

import ctypes
import io
from pathlib import Path

import llama_cpp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.gguf import MAX_TENSORS, GgufError, GgufHeader, read_header
from app.models.gguf.tensors import TENSOR_TYPES
from tests.live.server import MODELS, NANO
from tests.models.gguf_files import FLOAT32, Q8_0, UINT32, header, tensor, typed, with_tensors

GAPS = [number for number in range(43) if number not in TENSOR_TYPES]


def read(data: bytes) -> GgufHeader:
    return read_header(io.BytesIO(data), len(data))


def refusal(data: bytes) -> str:
    with pytest.raises(GgufError) as caught:
        read(data)
    return str(caught.value)


def test_tensors_that_fill_the_file_are_accepted_and_the_start_of_their_data_found() -> None:
    data = with_tensors(tensor("a", (32, 2)), tensor("b", (64,), Q8_0, 256), data=256 + 68)
    found = read(data)
    assert found.n_tensors == 2
    assert found.data_start == len(data) - 256 - 68


def test_a_file_that_ends_before_its_tensors_is_refused() -> None:
    message = refusal(with_tensors(tensor("a"), data=127))
    assert "tensor 'a' ends at byte" in message
    assert "is the file complete?" in message


def test_the_bundled_model_is_accepted_whole_and_refused_one_byte_short() -> None:
    data = (MODELS / NANO).read_bytes()
    assert read(data).data_start
    assert "complete" in refusal(data[:-32])


def test_an_offset_beyond_the_file_is_refused() -> None:
    assert "complete" in refusal(with_tensors(tensor("a", offset=2**64 - 32), data=256))
    assert "aligned to 32" in refusal(with_tensors(tensor("a", offset=8), data=256))


@pytest.mark.parametrize("shape", [(0,), (4, 0), (2**40, 2**40), (2**64 - 1,), (2**63, 1, 1, 1)])
def test_shapes_without_elements_or_with_too_many_are_refused(shape: tuple[int, ...]) -> None:
    assert "elements" in refusal(with_tensors(tensor("a", shape), data=256))


def test_too_many_dimensions_are_refused() -> None:
    assert "dimensions" in refusal(with_tensors(tensor("a", (1,) * 5), data=256))


def test_a_row_is_made_of_whole_blocks() -> None:
    assert "multiple of 32" in refusal(with_tensors(tensor("a", (33,), Q8_0), data=256))


@pytest.mark.parametrize("tensor_type", [*GAPS, 43, 2**31, 2**32 - 1])
def test_types_that_do_not_exist_are_refused(tensor_type: int) -> None:
    assert "does not exist" in refusal(with_tensors(tensor("a", (256,), tensor_type), data=4096))


def test_names_are_short_unique_text() -> None:
    assert "longer than" in refusal(with_tensors(tensor("n" * 64), data=256))
    assert "UTF-8" in refusal(with_tensors(tensor(b"\xff"), data=256))
    assert "duplicated" in refusal(with_tensors(tensor("a"), tensor("a", offset=128), data=256))


@pytest.mark.parametrize(
    "alignment", [0, 3, True, "32", typed(FLOAT32, 32.0), typed(UINT32, 2**32 - 1)]
)
def test_an_alignment_that_is_no_power_of_two_is_refused(alignment: object) -> None:
    values = {"general.alignment": alignment}
    assert "power of two" in refusal(with_tensors(tensor("a"), data=256, values=values))


def test_tensors_lie_where_the_alignment_says() -> None:
    values = {"general.alignment": 1024}
    assert "complete" in refusal(with_tensors(tensor("a"), data=128, values=values))
    found = read(with_tensors(tensor("a"), data=1024 + 128, values=values))
    assert found.data_start == 1024


def test_more_tensors_than_listed_or_allowed_are_refused() -> None:
    assert "past the end" in refusal(header({}, n_tensors=1))
    assert "more than" in refusal(header({}, n_tensors=MAX_TENSORS + 1))


@given(st.binary(max_size=300), st.integers(1, 2**20))
def test_random_tensors_end_in_a_header_or_a_refusal(data: bytes, n_tensors: int) -> None:
    try:
        read(header({}, n_tensors=n_tensors) + data)
    except GgufError:
        return


def test_the_sizes_of_types_are_those_of_the_library_that_reads_the_tensors() -> None:
    (path,) = (Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so")
    ggml = ctypes.CDLL(str(path))
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    for number, sizes in TENSOR_TYPES.items():
        assert (ggml.ggml_blck_size(number), ggml.ggml_type_size(number)) == sizes
    assert all(ggml.ggml_type_size(number) == 0 for number in GAPS)
