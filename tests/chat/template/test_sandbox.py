"""What a template may change, and what it cannot make however it goes about it.

Covers `app.chat.template.sandbox` and `app.chat.template.sandbox_code`.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.chat.template.chat_template import ChatTemplate
from app.errors import TemplateRefused

CALLERS: list[dict[str, Any]] = [{"role": "user", "content": "Hi", "parts": [1]}]


def write(source: str, *, deadline_s: float = 1.0, **variables: Any) -> str:
    return ChatTemplate(source, bos_token="", eos_token="").render(
        CALLERS,
        tools=None,
        add_generation_prompt=True,
        template_kwargs=variables,
        deadline_s=deadline_s,
    )


# ---------------------------------------------------------------- lists of the template's own


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("[]", "[1]"),
        ("[7]", "[7, 1]"),
        ("[messages[0].content]", "['Hi', 1]"),
        ("[7] + [8]", "[7, 8, 1]"),
        ("messages[0].parts + []", "[1, 1]"),
        ("messages[0].parts | list", "[1, 1]"),
        ("(7, 8) | list", "[7, 8, 1]"),
    ],
)
def test_a_template_may_add_to_its_own_lists(made: str, expected: str) -> None:
    source = "{% set n = namespace(l=" + made + ") %}{% set _ = n.l.append(1) %}{{ n.l }}"
    assert write(source) == expected
    assert CALLERS[0]["parts"] == [1]


def test_a_list_serves_as_a_queue() -> None:
    source = (
        "{% set q = [] %}{% for i in range(3) %}{% set _ = q.append(i) %}{% endfor %}"
        "{{ q.pop(0) }}{{ q.pop() }}{% set _ = q.extend([5, 6]) %}"
        "{% set _ = q.insert(0, 4) %}{{ q }}"
    )
    assert write(source) == "02[4, 1, 5, 6]"


def test_each_rendering_begins_with_a_new_list() -> None:
    template = ChatTemplate(
        "{% set q = [] %}{% set _ = q.append(1) %}{{ q }}", bos_token="", eos_token=""
    )
    for _ in range(2):
        text = template.render(CALLERS, tools=None, add_generation_prompt=True, template_kwargs={})
        assert text == "[1]"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages.extend([1]) }}",
        "{{ messages.insert(0, 1) }}",
        "{{ messages[0].parts.append(1) }}",
        "{{ (messages[0].parts | attr('append'))(1) }}",
        "{{ messages[0].parts['append'](1) }}",
        "{{ messages | indent }}",
        "{{ messages[0].update({}) }}",
        "{{ messages[0].pop('role') }}",
        "{{ given.append(1) }}",
        "{{ [given][0].append(1) }}",
        "{{ ([given] + [])[0].append(1) }}",
        "{{ [1].sort() }}",
        "{{ [1].clear() }}",
        "{{ {}.update({'a': 1}) }}",
    ],
)
def test_nothing_else_can_be_changed(source: str) -> None:
    given = [1]
    with pytest.raises(TemplateRefused):
        write(source, given=given)
    assert given == [1]
    assert CALLERS == [{"role": "user", "content": "Hi", "parts": [1]}]


# ---------------------------------------------------------------- limits

TREES = (
    "{% set n = namespace(a=(1,), b=(1,)) %}{% for i in range(60) %}"
    "{% set n.a = (n.a, n.a) %}{% set n.b = (n.b, n.b) %}{% endfor %}"
)
ARGUMENTS = (
    "{% macro m() %}{% set n.a = varargs %}{% endmacro %}{% set n = namespace(a=(1,)) %}"
    "{% for i in range(60) %}{{ m(n.a, n.a) }}{% endfor %}"
)
HOSTILE = {
    "an endless list": "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
    "doubling a list": "{% set l = [1] %}{% for i in range(60) %}"
    "{% set _ = l.extend(l) %}{% endfor %}",
    "a list in itself": "{% set l = [] %}{% set _ = l.append(l) %}{% set _ = l.append(l) %}"
    "{{ l == [l] }}{{ l | tojson }}",
    "lists filled from above": "{% set n = namespace(l=[], top=[]) %}{% set n.top = n.l %}"
    "{% for i in range(60) %}{% set next = [] %}{% set _ = n.l.append(next) %}"
    "{% set _ = n.l.append(next) %}{% set n.l = next %}{% endfor %}{{ n.top }}",
    "the test eq": TREES + "{{ n.a is eq n.b }}",
    "the test in": TREES + "{{ n.a is in [n.b] }}",
    "select": TREES + "{{ [n.a] | select('eq', n.b) | list }}",
    "keys": TREES + "{{ {n.a: 1} }}",
    "looking up": TREES + "{{ {}[n.a] }}",
    "the test filter": TREES + "{{ n.a is filter }}",
    "map": TREES + "{{ [1] | map(n.a) | list }}",
    "get": TREES + "{{ {}.get(n.a) }}",
    "dict": TREES + "{{ dict([(n.a, 1)]) }}",
    "keys from arguments": ARGUMENTS + "{{ {n.a: 1} }}",
    "looking up arguments": ARGUMENTS + "{{ {}[n.a] }}",
    "namespaces": "{% set n = namespace(a=1) %}{% for i in range(60) %}"
    "{% set m = namespace(a=n.a, b=n.a) %}{% set n.a = m %}{% endfor %}{{ n.a }}",
    "a number from text": "{{ ('f' * 8000000) | int(base=16)"
    " // (('f' * 4000000) | int(base=16)) }}",
    "sorting what is generated": "{{ (['x' * 4000000] * 99999) | map('default', 1) | sort }}",
    "writing what is generated": "{{ (['x' * 4000000] * 99999) | map('default', 1) | tojson }}",
    "joining what is generated": "{{ (['x' * 4000000] * 99999) | map('default', 1) | join }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_cut_off(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateRefused, match=r"larger than|longer than|ran for|too deeply"):
        write(HOSTILE[name], deadline_s=0.3)
    assert time.monotonic() - began < 3
