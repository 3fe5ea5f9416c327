"""Owns the helpers that chat templates expect beyond jinja2's own; must not know any limit."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, meta, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser

_OF_FIREFUNCTION = frozenset({"functions", "datetime"})


def wants_functions(environment: Environment, source: str) -> bool:
    """Return whether a template reads its tools as Firefunction's does: as JSON in `functions`."""
    if "functions" not in source or "datetime" not in source:
        return False
    return meta.find_undeclared_variables(environment.parse(source)) >= _OF_FIREFUNCTION


def wants_xml_tools(environment: Environment, source: str) -> bool:
    """Return whether a template reads its tools as SmolLM3's does: in `xml_tools` alone."""
    if "xml_tools" not in source:
        return False
    read = meta.find_undeclared_variables(environment.parse(source))
    return "xml_tools" in read and "tools" not in read


def functions_variables(
    tools: list[dict[str, Any]] | None, date: datetime.datetime
) -> dict[str, Any]:
    """Return the variables that Firefunction's model card hands to its template."""
    functions = [tool.get("function", tool) for tool in tools or ()]
    return {
        "functions": json.dumps(functions, indent=4),
        "datetime": date.strftime("%Y-%m-%d %H:%M:%S"),
    }


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return `value` as JSON the way Hugging Face templates expect: no HTML escapes, no sorting."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def raise_exception(message: object) -> None:
    """Let a template refuse a conversation."""
    raise TemplateError(str(message))


class GenerationTag(Extension):
    """Accepts `{% generation %}…{% endgeneration %}`, which marks text for training only."""

    tags = {"generation"}  # noqa: RUF012 -- jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the block's body in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def sum_numbers(values: Iterable[Any], attribute: None = None, start: int = 0) -> Any:
    """Return the sum of numbers; jinja2's own also adds lists, which takes quadratic time."""
    total: Any = start
    for value in values:
        if not isinstance(value, int | float):
            raise TypeError("sum adds numbers only")
        total += value
    return total
