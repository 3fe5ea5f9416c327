"""A case's text is read with its template's parser, and held to its grammar.

Covers `scripts.parser_cases.vocabulary`.
"""

from __future__ import annotations

from typing import Any

import pytest

from scripts.parser_cases.cases import Case, Reading
from scripts.parser_cases.reading import Reader, same_calls

TEMPLATE = (
    "{% for t in tools or [] %}{{ t.function.name }} <tool_call>{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking %}<think>\n{% else %}<think></think>{% endif %}{% endif %}"
)
NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "count", "parameters": NUMBER}}
CALL = '<tool_call>\n{"name": "count", "arguments": {"n": 1}}\n</tool_call>'


def case(text: str, **more: Any) -> Case:
    given = {"expected": Reading(), "is_split": True, "tools": (TOOL,), **more}
    return Case(template="t", line=1, text=text, **given)


def read(text: str, **more: Any) -> list[Reading]:
    return Reader(TEMPLATE).read(case(text, **more))


def test_a_text_is_read_whole_and_in_pieces() -> None:
    expected = Reading("Now.", "So", (("count", '{"n": 1}'),))
    assert read(f"So</think>Now.{CALL}") == [expected] * 3


def test_what_the_prompt_ends_with_counts() -> None:
    assert read("So")[0] == Reading("", "So")
    assert read("So", enable_thinking=False)[0] == Reading("So")
    assert read("So", enable_thinking=False, is_split=False)[0] == Reading("So")


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (f"So</think>\n\n{CALL}", {}),
        (f"{CALL}\n", {"enable_thinking": False}),
        (f"{CALL}\n{CALL}", {"enable_thinking": False, "parallel": True}),
        (CALL, {"enable_thinking": False, "is_required": True}),
        (CALL[:40], {"enable_thinking": False, "is_partial": True}),
        ("So</think>\n\n[1]", {"tools": (), "json_schema": '{"type": "array"}'}),
        ("anything", {"tools": ()}),
    ],
)
def test_the_grammar_admits_what_it_should(text: str, more: dict[str, Any]) -> None:
    assert Reader(TEMPLATE).refusal(case(text, **more)) == ""


@pytest.mark.parametrize(
    ("text", "more", "refusal"),
    [
        (CALL.replace("count", "guess"), {}, "before 'guess"),
        (CALL.replace("1", '"1"'), {}, 'before \'"1"}'),
        (f"{CALL} and more", {}, "over before 'and more'"),
        (CALL[:40], {}, "at the end"),
        ("No.", {"is_required": True}, "before 'No.'"),
    ],
)
def test_the_grammar_refuses_what_it_should(text: str, more: dict[str, Any], refusal: str) -> None:
    asked = case(text, **{"enable_thinking": False, **more})
    assert Reader(TEMPLATE).refusal(asked).startswith(refusal)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ('{"a": 1}', '{"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ('{"a": ', '{"a":', True),
        ('{"a": ', '{"b":', False),
        ("", '{"a', True),
    ],
)
def test_calls_are_the_same_where_their_arguments_say_the_same(
    first: str, second: str, is_same: bool
) -> None:
    readings = [Reading(calls=(("f", arguments),)) for arguments in (first, second)]
    assert same_calls(*readings) is is_same
    assert not same_calls(readings[0], Reading())
