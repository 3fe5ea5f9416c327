"""LangChain's classes hold an answer to a class, by each of their ways."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("dialect", ["anthropic", "ollama", "openai"])
def test_an_object_of_a_class_by_each_way(tell: Tell, dialect: str) -> None:
    spoken = "chat" if dialect == "openai" else dialect
    found = tell(f"langchain_{dialect}_python.py", spoken).result("schema_by_class")
    assert set(found) == {"json_schema", "function_calling"}
    for made in found.values():
        assert made["city"] in ("Paris", "Rome")
        assert 1 <= made["millions"] <= 9
