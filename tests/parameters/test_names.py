"""Every parameter has a row that is whole, and one name for each meaning."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from app.config.settings import SECTIONS
from app.models.gguf.tensors import TENSOR_TYPES
from app.parameters.cache_types import GGML_TYPES, PLAIN_TYPES, CacheType
from app.parameters.names import ALIASES, STRUCTS, canonical, spellings
from app.parameters.row import Row, rows

ROWS = [
    pytest.param(struct, row, id=f"{struct.__name__}.{row.name}")
    for struct in STRUCTS
    for row in rows(struct)
]


@pytest.mark.parametrize(("struct", "row"), ROWS)
def test_a_row_is_whole(struct: type[msgspec.Struct], row: Row) -> None:
    assert row.description
    assert not row.description.endswith(".")
    assert row.details.section in SECTIONS
    assert row.details.given_by
    assert row.is_optional == (row.default is None)


@pytest.mark.parametrize(("struct", "row"), ROWS)
def test_a_default_is_within_the_bounds(struct: type[msgspec.Struct], row: Row) -> None:
    given = msgspec.to_builtins({row.name: row.default}, str_keys=False)
    assert getattr(msgspec.convert(given, struct), row.name) == row.default


def test_no_name_has_two_meanings() -> None:
    names = [
        row.name for struct in STRUCTS for row in rows(struct) if "setting" in row.details.given_by
    ]
    assert len(names) == len(set(names))
    assert not ALIASES.keys() & set(names)


def test_values_are_known_by_the_parameters_own_names() -> None:
    assert canonical({"n_predict": 3, "top_k": 1}) == {"max_tokens": 3, "top_k": 1}
    assert canonical({"max_completion_tokens": 5, "max_tokens": 3}) == {"max_tokens": 5}
    assert spellings("max_tokens") == ["max_tokens", "max_completion_tokens", "n_predict"]
    assert spellings("top_k") == ["top_k"]


def test_every_type_of_the_kv_cache_is_one_of_ggmls() -> None:
    assert tuple(GGML_TYPES) == get_args(CacheType)
    blocks = {name: TENSOR_TYPES[number] for name, number in GGML_TYPES.items()}
    assert tuple(name for name, (n_elements, _) in blocks.items() if n_elements == 1) == PLAIN_TYPES
