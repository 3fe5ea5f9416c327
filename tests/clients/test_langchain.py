"""LangChain's classes hold an answer to a class, by each of their ways."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("dialect", "program", "ways"),
    [
        ("chat", "langchain_openai_python.py", {"json_schema", "function_calling"}),
        ("anthropic", "langchain_anthropic_python.py", {"json_schema", "function_calling"}),
        ("ollama", "langchain_ollama_python.py", {"json_schema"}),
    ],
)
def test_an_object_of_a_class_by_each_way(
    tell: Tell, dialect: str, program: str, ways: set[str]
) -> None:
    found = tell(program, dialect).result("schema_by_class")
    assert set(found) == ways
    for made in found.values():
        assert made["city"] in ("Paris", "Rome")
        assert made["capital"] in (True, False)
