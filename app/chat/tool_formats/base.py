"""Owns what a tool format has to declare; must not know any format."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

from app.chat.stream_parser import StreamParser


@dataclass(frozen=True)
class ToolFormat:
    """How one family of models writes tool calls.

    Attributes:
        name: short name for settings and logs.
        tags: texts around calls; tokens that stand for them must reach the parser as text.
        recognises: True for the source of a template that asks for this format.
        parser: makes a parser for one answer from the names of the offered tools (None: any).
    """

    name: str
    tags: tuple[str, ...]
    recognises: Callable[[str], bool]
    parser: Callable[[Set[str] | None], StreamParser]
