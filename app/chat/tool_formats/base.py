"""Owns what a tool format has to declare; must not know any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.parsing.stream_parser import StreamParser
from app.chat.tool_formats.names import NameSyntax

OfferedTools = Set[str] | Mapping[str, Any] | None
"""The offered tools: their names, or their parameters' JSON schemas by name (None: any tool)."""

MadeCalls = Sequence[tuple[str, Any]]
"""Calls that were made: name and arguments, an object or JSON text."""


@dataclass(frozen=True)
class ToolSpec:
    """An offered tool.

    Attributes:
        name: its name.
        parameters: JSON schema of its arguments, an object.
        is_strict: whether keywords of the schema that cannot be enforced are an error.
    """

    name: str
    parameters: Mapping[str, Any]
    is_strict: bool = False


class Place(Enum):
    """Where in an answer a text begins calls."""

    ANYWHERE = auto()
    AT_START = auto()
    BEHIND = auto()  # directly behind other calls, brackets and separators aside


@dataclass(frozen=True)
class Opening:
    """Another text that the format's parser takes for the beginning of calls.

    Attributes:
        trigger: that text.
        reads: the beginning of a block, its own trigger included, that it stands for: it goes on
            as such a block does.
        place: where it means calls. Whitespace in it counts only where it is anywhere.
    """

    trigger: str
    reads: str
    place: Place = Place.ANYWHERE


@dataclass(frozen=True)
class CallBlock:
    """How a model writes calls, for the grammar that holds it to the offered tools.

    Attributes:
        trigger: the text that begins a block of calls, as a template writes it.
        body: expression of the grammar for what follows the trigger, up to the block's end.
        between: text between two blocks.
        only_at_start: the trigger means a call only where the answer begins with it.
        before: text that comes before the trigger where an answer has to be a call.
        is_begun: the prompt ends with the trigger, so that the first call of an answer that
            begins with one comes without it.
        openings: other texts that begin such a block.
        also: blocks of other formats that are read too.
    """

    trigger: str
    body: str
    between: str = ""
    only_at_start: bool = False
    before: str = ""
    is_begun: bool = False
    openings: tuple[Opening, ...] = ()
    also: tuple[CallBlock, ...] = ()


WriteBlock = Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]
"""Adds to a grammar what calls of these tools look like; see `ToolFormat.block`."""


@dataclass(frozen=True)
class ThoughtMessages:
    """How a format writes thoughts that are messages of their own.

    Attributes:
        tags: the head of such a message, where the prompt has begun it, and what ends it.
        between: text from its end to the head of the next message.
    """

    tags: ReasoningTags
    between: str

    def __call__(self, grammar: Grammar) -> str:
        """Add to a grammar what of thoughts may come before any answer, nothing included."""
        return f"({sequence(grammar.literal(self.tags.opening), self.rest(grammar))})?"

    def rest(self, grammar: Grammar) -> str:
        """Add to a grammar what comes after the head of thoughts, up to another message."""
        end = grammar.text_before(self.tags.closing)
        return sequence(end, grammar.literal(self.between))


@dataclass(frozen=True)
class ToolFormat:
    """How one family of models writes tool calls.

    Attributes:
        name: short name for settings and logs.
        tags: texts around calls; tokens that stand for them must reach the parser as text.
        recognises: True for the source of a template that asks for this format.
        parser: makes a parser for one answer. Formats that do not tell a number from a text that
            looks like one go by the tools' schemas, where they are given.
        names: how the names of arguments are written; what it cannot tell apart is refused.
        taken: names of tools that mean something else.
        header: text before an answer's own text, of formats whose answers are messages with heads.
        thoughts: what thoughts look like, for formats that think in messages of their own.
        always: the parser is needed for every answer, tools or not: more than calls is marked.
        write: returns calls as the model writes them, for templates that leave out those in the
            history; None where no template of the family does.
        show: returns tools as text, and how to call them, for templates that leave them out; None
            where the family has no way of its own, or all of its templates show tools.
        block: adds to a grammar what calls of these tools look like; one call at most where the
            last argument is True. None: calls of this format cannot be enforced.
        also: another format whose calls the parser reads too.
    """

    name: str
    tags: tuple[str, ...]
    recognises: Callable[[str], bool]
    parser: Callable[[OfferedTools], StreamParser]
    names: NameSyntax
    taken: frozenset[str] = frozenset()
    always: bool = False
    header: str = ""
    thoughts: ThoughtMessages | None = None
    write: Callable[[MadeCalls], str] | None = None
    show: Callable[[Sequence[Mapping[str, Any]]], str] | None = None
    block: WriteBlock | None = None
    also: ToolFormat | None = None
