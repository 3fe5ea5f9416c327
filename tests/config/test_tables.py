"""What lists of tables in the settings have in common."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from app.config.tables import Table, fault

TABLE = Table("pets", "pet", {"name": "a text", "age": "a number"})


def test_a_fault_is_told_with_table_and_part() -> None:
    error = fault("age", "is beyond 20", 3)
    details = {"type": error.type, "loc": ("pets",), "ctx": error.context}
    assert TABLE.explain(details) == "pets[3].age is beyond 20"  # type: ignore[arg-type]


def test_the_first_repeated_name_is_refused() -> None:
    TABLE.refuse_repeated_names(["a", "b"])
    with pytest.raises(PydanticCustomError) as refused:
        TABLE.refuse_repeated_names(["a", "b", "c", "b", "a"])
    assert refused.value.context is not None
    assert refused.value.context["index"] == 3
