"""Owns what a tool format has to declare; must not know any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from app.chat.stream_parser import StreamParser

Offered = Set[str] | Mapping[str, Any] | None
"""The offered tools: their names, or their parameters' JSON schemas by name (None: any tool)."""

Made = Sequence[tuple[str, Any]]
"""Calls that were made: name and arguments, an object or JSON text."""


@dataclass(frozen=True)
class ToolFormat:
    """How one family of models writes tool calls.

    Attributes:
        name: short name for settings and logs.
        tags: texts around calls; tokens that stand for them must reach the parser as text.
        recognises: True for the source of a template that asks for this format.
        parser: makes a parser for one answer. Formats that do not tell a number from a text that
            looks like one go by the tools' schemas, where they are given.
        always: the parser is needed for every answer, tools or not: more than calls is marked.
        write: returns calls as the model writes them, for templates that leave out those in the
            history; None where no template of the family does.
    """

    name: str
    tags: tuple[str, ...]
    recognises: Callable[[str], bool]
    parser: Callable[[Offered], StreamParser]
    always: bool = False
    write: Callable[[Made], str] | None = None
