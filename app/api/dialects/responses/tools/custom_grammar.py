"""Owns the `format` of a custom tool: which part of it can be enforced on the tool's text; no I/O.

The text is one argument of a function, so what holds it to a form is the `pattern` of its schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.api.dialects.responses.tools.lark_pattern import greedy, lark_pattern
from app.errors import InvalidRequest

_SYNTAXES = {"lark": "Lark grammar", "regex": "regular expression"}
MAX_DEFINITION_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class CustomGrammar:
    """The grammar of a custom tool's text.

    Args:
        syntax: what the model is told that it is.
        definition: as the client wrote it.
        pattern: the same as a schema's `pattern`; empty where there is none.
    """

    syntax: str
    definition: str
    pattern: str


def grammar_of(given: Any, place: str) -> CustomGrammar | None:
    """Return the grammar in a custom tool's `format`; None for free text.

    Raises:
        InvalidRequest: the format is not one of OpenAI's.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidRequest(f"{place}: must be an object", param=place)
    kind = given.get("type")
    if kind in (None, "text"):
        return None
    if kind != "grammar":
        raise InvalidRequest(f'{place}.type: must be "text" or "grammar"', param=f"{place}.type")
    inner = given.get("grammar")
    fields = inner if isinstance(inner, dict) else given
    syntax, definition = fields.get("syntax"), fields.get("definition")
    if syntax not in _SYNTAXES:
        raise InvalidRequest(f'{place}.syntax: must be "lark" or "regex"', param=f"{place}.syntax")
    if not isinstance(definition, str) or len(definition.encode()) > MAX_DEFINITION_BYTES:
        reason = f"must be a text of at most {MAX_DEFINITION_BYTES} bytes"
        raise InvalidRequest(f"{place}.definition: {reason}", param=f"{place}.definition")
    whole = greedy(definition) if syntax == "regex" else lark_pattern(definition)
    pattern = f"^(?:{whole})$" if whole else ""
    return CustomGrammar(_SYNTAXES[syntax], definition, pattern)
