"""Numbers of an architecture are found under its prefix; what is none is refused or ignored."""

from __future__ import annotations

import pytest

from app.models.gguf import GgufError, Skipped, Value, ValueType
from app.models.metadata import MAX_LAYERS, Metadata, whole_number

VALUES: dict[str, Value] = {
    "llama.one": 1,
    "llama.many": (3, 1, 2),
    "llama.flags": (True, False),
    "llama.text": "two",
    "llama.negative": -1,
    "llama.truth": True,
    "llama.long": Skipped(ValueType.INT32, 5000, is_array=True),
    "other.one": 2,
}
FOUND = Metadata(VALUES, "llama")


def test_a_key_is_that_of_the_architecture() -> None:
    assert FOUND.count("one") == 1
    assert Metadata(VALUES, "other").count("one") == 2


def test_what_is_not_stated_has_the_default() -> None:
    assert (FOUND.count("absent"), FOUND.count("absent", 7)) == (0, 7)
    assert FOUND.stated("absent") is None
    assert FOUND.flags("absent") is None


@pytest.mark.parametrize("key", ["text", "negative", "truth", "many"])
def test_a_count_that_is_no_whole_number_is_refused(key: str) -> None:
    with pytest.raises(GgufError, match=key):
        FOUND.count(key)
    with pytest.raises(GgufError, match=key):
        whole_number(VALUES, f"llama.{key}")


@pytest.mark.parametrize("key", ["text", "negative", "truth", "long", "absent", "flags"])
def test_a_size_that_is_no_whole_number_is_ignored(key: str) -> None:
    assert FOUND.size(key, 7) == 7


def test_the_size_of_an_array_is_its_largest_item() -> None:
    assert (FOUND.size("one"), FOUND.size("many")) == (1, 3)


def test_flags_are_truth_values_or_numbers() -> None:
    assert FOUND.flags("flags") == (True, False)
    assert FOUND.flags("many") == (True, True, True)


def test_a_number_of_each_layer_is_stated_once_for_all_or_in_an_array() -> None:
    assert FOUND.per_layer("one", 3) == (1, 1, 1)
    assert FOUND.per_layer("many", 3) == (3, 1, 2)
    assert FOUND.per_layer("absent", 3) == (0, 0, 0)
    assert FOUND.per_layer("absent", 3, (4, 5, 6)) == (4, 5, 6)


def test_arrays_are_cut_or_filled_to_the_number_of_layers() -> None:
    assert FOUND.per_layer("many", 2) == (3, 1)
    assert FOUND.per_layer("many", 4) == (3, 1, 2, 0)


def test_a_hostile_number_of_layers_makes_no_long_list() -> None:
    assert len(FOUND.per_layer("one", 2**63)) == MAX_LAYERS


def test_an_array_of_other_values_is_refused() -> None:
    with pytest.raises(GgufError, match="flags"):
        FOUND.per_layer("flags", 2)
