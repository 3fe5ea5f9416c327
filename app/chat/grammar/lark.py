"""Owns writing grammars in the dialect of Lark that llguidance reads.

`Grammar.schema` turns a JSON schema into a rule. Pure: text out; must not know llguidance itself,
nor any tool format. The dialect is described in `docs/syntax.md` of the llguidance project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from app.base.json_types import JsonObject
from app.chat.grammar.closed_schema import closed
from app.chat.grammar.enforceable import enforceable
from app.chat.grammar.string_limits import ANY, containing

TokenOf = Callable[[str], int | None]

# As Python's json.dumps writes JSON, and so nearly every chat template: what models have seen.
_SPACED = {"item_separator": ", ", "key_separator": ": "}
_DENSE = {"item_separator": ",", "key_separator": ":"}
# Escapes in strings, without \\u: then a key has one spelling, and none passes for another key.
_ONE_SPELLING = 'nrbtf\\"'
REFUSED = "x-refused"
_REFUSAL = re.compile(rf'%json \{{"{REFUSED}": ("(?:[^"\\]|\\.)*")')
_NEWLINES = re.compile(r"\r\n|\r|\n")
_MAX_KEPT = 512  # rules, of schemas that are no longer than:
_MAX_KEPT_CHARS = 4096
_MAX_CHARS = 2 * 1024 * 1024


def _no_token(_text: str) -> int | None:
    return None


class Grammar:
    """A grammar while it is written: rules are added, and `text` returns it.

    Every method returns an expression that may stand in other expressions; see also `sequence`.

    Args:
        tags: texts that may be tokens of their own, such as `<tool_call>`.
        token_of: returns the id of the token that a tag is, None where it is ordinary text.
    """

    def __init__(self, tags: Iterable[str] = (), token_of: TokenOf = _no_token) -> None:
        tokens = {tag: token_of(tag) for tag in tags if tag}
        self._tokens = {tag: token for tag, token in tokens.items() if token is not None}
        by_length = sorted(map(re.escape, self._tokens), key=len, reverse=True)
        self._split = re.compile("(" + "|".join(by_length) + ")") if by_length else None
        self._rules: dict[str, str] = {}  # names by what follows them
        self._n_chars = 0  # of all bodies, those that there were before too

    def literal(self, text: str) -> str:
        """Return an expression for exactly this text; the tags in it are the tokens they are."""
        pieces = self._split.split(text) if self._split else [text]
        return " ".join(self._piece(piece) for piece in pieces if piece) or '""'

    def _piece(self, piece: str) -> str:
        token = self._tokens.get(piece)
        return quoted(piece) if token is None else f"<[{token}]>"

    def schema(
        self, schema: JsonObject | bool, *, is_strict: bool = False, is_dense: bool = False
    ) -> str:
        """Return an expression for a JSON value that a schema allows.

        Args:
            is_dense: no spaces are written behind commas and colons.
            is_strict: keywords that cannot be enforced are an error when the grammar is compiled,
                of which `refusal_in` has the words; otherwise they are ignored.
        """
        text = json.dumps(schema)
        write = _json_kept if len(text) <= _MAX_KEPT_CHARS else _json
        return self.rule(write(text, is_strict, is_dense))

    def text_before(self, end: str, *, stop: str = "", limits: Sequence[str] = ()) -> str:
        """Return an expression for any text up to and with the first `end`.

        Args:
            end: text that closes the text before it; must not overlap with itself.
            stop: part of `end` that must not be in the text; by default all of it.
            limits: regular expressions that have to match all of the text.
        """
        before, *rest = self._split.split(end, maxsplit=1) if self._split else [end]
        if not (rest or stop or limits):
            return self.rule(self._regex(ANY), suffix=end)
        # One negation is cheap; with a second, compiling takes as many steps as a text may be long.
        matched = [self._regex(limit) for limit in limits or [ANY]]
        text = self._terminal(" & ".join([*matched, "~" + self._regex(containing(stop or end))]))
        if not rest:
            return self.rule(text, suffix=end)
        # A token closes the text; what comes before it is of the same lexeme as the text.
        text = self._terminal(f"{text} {quoted(before)}") if before else text
        return f"{text} {self.literal(''.join(rest))}"

    def pattern(self, regex: str) -> str:
        """Return an expression for a regular expression (of Rust's kind, without look-around)."""
        return self.rule(self._regex(regex))

    def _regex(self, regex: str) -> str:
        return f"/{escaped_regex(regex)}/"

    def either(self, options: Sequence[str]) -> str:
        """Return an expression for one of several.

        Raises:
            ValueError: there is none.
        """
        if not options:
            raise ValueError("no options to choose from")
        return options[0] if len(options) == 1 else self.rule(" | ".join(options))

    def rule(self, body: str, *, suffix: str = "") -> str:
        """Add a rule and return its name.

        Args:
            suffix: text that ends what the rule stands for where it comes first; the rule's body
                is one regular expression or terminal then.
        """
        option = f"[suffix={quoted(suffix)}]" if suffix else ""
        return self._named("r", f"{option}: {body}")

    def repeated(self, item: str, separator: str, least: int = 0, most: int | None = None) -> str:
        """Return an expression for `item` so many times, with the text `separator` between."""
        if most is not None and most < max(least, 1):
            return ""
        item = self.rule(item)
        several = item
        if most != 1:
            further = sequence(self.literal(separator) if separator else "", item)
            bounds = f"{max(least - 1, 0)},{'' if most is None else most - 1}"
            several = f"{item} ({further}){{{bounds}}}"
        return several if least else f"({several})?"

    def recursive(self, write: Callable[[str], str]) -> str:
        """Return an expression that may stand in itself.

        Args:
            write: returns what the rule with the given name stands for.
        """
        name = f"r{len(self._rules)}"
        self._rules[f": {name}"] = name  # holds the place
        body = write(name)
        del self._rules[f": {name}"]
        return self._rules.setdefault(f": {body}", name)

    def _terminal(self, body: str) -> str:
        return self._named("T", f": {body}")

    def _named(self, kind: str, body: str) -> str:
        """Return the name of the rule with this body, of which there is but one.

        Raises:
            ValueError: too much was written, as where many parts refer to long definitions.
        """
        self._n_chars += len(body)
        if self._n_chars > _MAX_CHARS:
            raise ValueError("the schemas are too long, with what they refer to in each place")
        return self._rules.setdefault(body, f"{kind}{len(self._rules)}")

    def text(self, start: str) -> str:
        """Return the grammar of answers that are what the expression `start` says."""
        rules = (name + body for body, name in self._rules.items())
        return "\n".join(["%llguidance {}", f"start: {start}", *rules, ""])


def _json(text: str, is_strict: bool, is_dense: bool) -> str:
    """Return the body of a rule for what the JSON text of a schema allows."""
    schema = json.loads(text)
    known = {"anyOf": [schema]} if isinstance(schema, bool) else schema
    wanted = enforceable(closed(known, is_strict=is_strict), is_strict=is_strict)
    if wanted.refusal:
        return "%json " + json.dumps({REFUSED: wanted.refusal, "type": REFUSED})
    style = {"whitespace_flexible": False, **(_DENSE if is_dense else _SPACED)}
    style["lenient"] = not is_strict
    if wanted.mixes_keys:
        style["json_allowed_escapes"] = _ONE_SPELLING
    return "%json " + json.dumps({**wanted.schema, "x-guidance": style})


# Clients send the same schemas with every request.
_json_kept = lru_cache(_MAX_KEPT)(_json)


def refusal_in(grammar: str) -> str:
    """Return why a schema in a grammar's text cannot be enforced; "" where all can be."""
    found = _REFUSAL.search(grammar)
    return str(json.loads(found[1])) if found else ""


def sequence(*expressions: str) -> str:
    """Return an expression for what these stand for, one after the other."""
    return " ".join(filter(None, expressions)) or '""'


def quoted(text: str) -> str:
    """Return a text as a literal of the grammar."""
    return json.dumps(text)


def escaped_regex(regex: str) -> str:
    """Return a regular expression as it may stand between slashes, on one line."""
    slashes = re.sub(r"\\.|/", lambda m: "\\/" if m[0] == "/" else m[0], regex, flags=re.DOTALL)
    return _NEWLINES.sub(lambda m: "".join(f"\\x{ord(char):02x}" for char in m[0]), slashes)
