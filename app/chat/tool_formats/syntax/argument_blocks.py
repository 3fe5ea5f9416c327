"""Owns the grammar of arguments that stand one by one, each with its name; must not know formats.

What it admits is what `arguments.Value` reads: text as it is, all else as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.base.json_types import JsonObject
from app.chat.grammar.keywords import DEFINITIONS
from app.chat.grammar.lark import Grammar, sequence
from app.chat.grammar.string_limits import ANY, exactly, text_limits
from app.chat.tool_formats.syntax.parameters import NOTES, Parameter, kind_of_option

_OF_TEXT = frozenset({None, "string"})
_PYTHON_WORDS = {"boolean": ("True", "False"), "null": ("None",)}
_UNLIKE_LISTS = rf"[ \t\r\n]*(?:[^ \t\r\n\[{{]{ANY})?"
# What texts do not begin with, where they would be read as values that the schema limits.
_BEGINS = {"integer": "0-9-", "number": "0-9-", "boolean": "tfTF", "null": "nN"}


@dataclass(frozen=True)
class TextSyntax:
    """How values that are text are written.

    Attributes:
        end: closes a value.
        stop: the part of `end` that cannot stand in a value; by default all of it.
        allowed: regular expressions of what can be written so; by default any text.
        read_as_written: regular expression of what is read without a change; it matters where a
            schema does not allow every text.
    """

    end: str
    stop: str = ""
    allowed: tuple[str, ...] = ()
    read_as_written: str = ""


def in_order(parameters: Iterable[Parameter], argument: Callable[[Parameter], str]) -> str:
    """Return the expression for all arguments in order; those that are not required may lack.

    It is empty where there are none.

    Args:
        parameters: of one tool.
        argument: returns the expression for one with its tags.
    """
    written = ((argument(parameter), parameter) for parameter in parameters)
    return " ".join(text if known.is_required else f"({text})?" for text, known in written)


def separated(
    grammar: Grammar,
    parameters: Sequence[Parameter],
    argument: Callable[[Parameter], str],
    separator: str,
    end: str,
) -> str:
    """Return the expression for arguments as `in_order`, with `separator` between and then `end`.

    Args:
        grammar: gets the rules.
        parameters: of one tool.
        argument: returns the expression for one.
        separator: text between two.
        end: text behind the last.
    """
    rest = grammar.literal(end)
    begun = [rest]
    # From the last to the first: what follows an argument is known by then.
    for known in reversed(parameters):
        text = argument(known)
        begun.append(sequence(text, rest))
        more = sequence(grammar.literal(separator), text, rest)
        if known.is_required:
            begun = begun[-1:]
            rest = grammar.rule(more)
        else:
            rest = grammar.either([more, rest])
    return grammar.either(begun)


def value(
    grammar: Grammar,
    parameter: Parameter,
    how: TextSyntax,
    *,
    is_strict: bool = False,
    python_words: bool = False,
) -> str:
    """Return the expression for a value and its end, text or not.

    Args:
        grammar: gets the rules.
        parameter: what the value is for.
        how: how text is written.
        is_strict: see `Grammar.schema`.
        python_words: `True`, `False` and `None` may be written for `true`, `false` and `null`.
    """
    other = json_value(grammar, parameter, is_strict=is_strict, python_words=python_words)
    text = text_value(grammar, parameter, how, is_strict=is_strict, is_bare=True)
    options = [text] if text else []
    options += [sequence(other, grammar.literal(how.end))] if other else []
    if is_strict and not options:
        raise ValueError(f"no value that the schema of {parameter.name!r} allows can be written")
    # Where no value that the schema lists can be written, any text is as good as another.
    return grammar.either(options or [grammar.text_before(how.end, stop=how.stop)])


def text_value(
    grammar: Grammar,
    parameter: Parameter,
    how: TextSyntax,
    *,
    is_strict: bool = False,
    is_bare: bool = False,
) -> str:
    """Return the expression for a value that is text, and its end; "" where none can be.

    Args:
        grammar: gets the rules.
        parameter: what the value is for.
        how: how text is written.
        is_strict: see `Grammar.schema`.
        is_bare: nothing but the text itself tells it from a number or a word of JSON.
    """
    kinds = {kind_of_option(option) for option in parameter.options}
    unlike = [_UNLIKE_LISTS] if kinds & {"object", "array"} else []
    limited = [option for option in parameter.options if _is_limited(option)]
    begins = "".join(dict.fromkeys(_BEGINS.get(kind_of_option(one) or "", "") for one in limited))
    if is_bare and is_strict and begins:
        unlike.append(rf"[ \t\r\n]*(?:[^ \t\r\n{begins}]{ANY})?")
    options: list[str] = []
    for option in parameter.options:
        if kind_of_option(option) not in _OF_TEXT:
            continue
        listed = listed_texts(option)
        limits = text_limits(option, is_strict=is_strict)
        if listed is not None and (limits or unlike):
            limits.append(f"(?:{'|'.join(map(exactly, listed))})")
        if listed is not None and not (limits or unlike):
            options += [grammar.literal(text + how.end) for text in listed if _fits(text, how)]
        else:
            limits += [how.read_as_written] if limits and how.read_as_written else []
            limits += [*how.allowed, *unlike]
            options.append(grammar.text_before(how.end, stop=how.stop, limits=limits))
    return grammar.either(list(dict.fromkeys(options))) if options else ""


def json_value(
    grammar: Grammar,
    parameter: Parameter,
    *,
    is_strict: bool = False,
    python_words: bool = False,
) -> str:
    """Return the expression for a value that is JSON and no text; "" where none can be."""
    options: list[str] = []
    for option in parameter.options:
        kind = kind_of_option(option)
        if kind in _OF_TEXT:
            continue
        options.append(grammar.schema(option, is_strict=is_strict))
        if python_words and listed_values(option) is None and "allOf" not in option:
            options += map(grammar.literal, _PYTHON_WORDS.get(kind or "", ()))
    return grammar.either(options) if options else ""


def listed_values(option: JsonObject) -> list[object] | None:
    """Return the values that a schema lists; None where it lists none."""
    if "const" in option:
        return [option["const"]]
    listed = option.get("enum")
    return listed if isinstance(listed, list) else None


def listed_texts(option: JsonObject) -> list[str] | None:
    """Return the texts among the values that a schema lists; None where it lists none."""
    listed = listed_values(option)
    return None if listed is None else [text for text in listed if isinstance(text, str)]


def _fits(text: str, how: TextSyntax) -> bool:
    regexes = [*how.allowed, how.read_as_written or ANY]
    return (how.stop or how.end) not in text and all(re.fullmatch(r, text) for r in regexes)


def _is_limited(option: JsonObject) -> bool:
    return bool(option.keys() - {"type", *NOTES, *DEFINITIONS})
