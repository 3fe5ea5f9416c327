"""Owns turning Lark grammars that do not recurse into regular expressions; pure.

A grammar without recursion says no more than a regular expression can, and such grammars are what
clients send with custom tools: formats of patches, small commands. Others have no expression here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_CHARS = 16 * 1024
_MAX_DEPTH = 64

_COMMON = {  # terminals of Lark's library
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[0-9a-fA-F]",
    "INT": "[0-9]+",
    "SIGNED_INT": "[-+]?[0-9]+",
    "DECIMAL": r"(?:[0-9]+\.[0-9]*|\.[0-9]+)",
    "FLOAT": r"(?:[0-9]+[eE][-+]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)",
    "NUMBER": r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
    "SIGNED_FLOAT": r"[-+]?(?:[0-9]+[eE][-+]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]+)?)",
    "SIGNED_NUMBER": r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[a-zA-Z]",
    "WORD": "[a-zA-Z]+",
    "CNAME": "[a-zA-Z_][a-zA-Z0-9_]*",
    "ESCAPED_STRING": r'"(?:[^"\\\n]|\\[^\n])*"',
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(?:\r?\n)+",
}

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:\\.|[^"\\])*"i?)'
    r"|(?P<regex>/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\[])+/[a-z]*)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<times>~\s*\d+(?:\s*\.\.\s*\d+)?)"
    r"|(?P<sign>->|\.\.|[()\[\]|?*+]))"
)
_HEAD = re.compile(r"[?!]?\s*([A-Za-z_][A-Za-z0-9_]*)(?:\.-?\d+)?\s*:(.*)", re.DOTALL)
_IMPORT = re.compile(r"%import\s+common\s*\.\s*(\w+)(?:\s*->\s*(\w+))?\s*")
_IMPORTS = re.compile(r"%import\s+common\s*\(([\w\s,]+)\)\s*")
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|/(?!/)(?:\\.|[^/\\\n])+/)|\s*(?://|#)[^\n]*')
_REGEX_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[*+?}]\?|.", re.DOTALL)
_META = set("\\.+*?()|[]{}^$/")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


class NotRegular(ValueError):
    """The grammar recurses, or has parts that are not known here."""


def lark_pattern(grammar: str) -> str | None:
    """Return a regular expression for the whole of a text that a Lark grammar allows.

    None where there is none, or it would be too long.
    """
    try:
        rules = _rules(grammar)
        return _Expander(rules).expanded("start")
    except NotRegular:
        return None


def greedy(regex: str) -> str:
    """Return an expression for the same whole texts without lazy repeats and outer anchors."""
    pieces = _REGEX_PIECES.findall(regex)
    if "|" not in pieces:
        pieces = pieces[pieces[:1] == ["^"] : len(pieces) - (pieces[-1:] == ["$"])]
    is_repeat = [len(piece) == 2 and piece[1] == "?" and piece[0] in "*+?}" for piece in pieces]
    return "".join(
        piece[0] if lazy else piece for piece, lazy in zip(pieces, is_repeat, strict=True)
    )


def exactly(text: str) -> str:
    """Return an expression for this text."""
    named = {char: f"\\{name}" for name, char in _ESCAPES.items()}
    return "".join(
        f"\\U{ord(char):08x}" if char in _META else named.get(char, char) for char in text
    )


def _rules(grammar: str) -> Mapping[str, str]:
    """Return the rules of a grammar by name; terminals of the library are written as regexes."""
    text = _COMMENT.sub(lambda found: found[1] or "", grammar)
    lines: list[str] = []
    for line in text.splitlines():
        if line[:1].isspace() or line.lstrip().startswith("|"):
            if lines:
                lines[-1] += "\n" + line
            elif line.strip():
                lines.append(line.strip())
        elif line.strip():
            lines.append(line)
    rules: dict[str, str] = {}
    for line in lines:
        rules |= _rule(line)
    return rules


def _rule(line: str) -> dict[str, str]:
    if (found := _IMPORT.fullmatch(line)) and found[1] in _COMMON:
        return {found[2] or found[1]: f"/{_COMMON[found[1]]}/"}
    if found := _IMPORTS.fullmatch(line):
        names = [name.strip() for name in found[1].split(",")]
        if set(names) <= _COMMON.keys():
            return {name: f"/{_COMMON[name]}/" for name in names}
    if found := _HEAD.fullmatch(line):
        return {found[1]: found[2]}
    raise NotRegular(line)


class _Expander:
    """Writes rules as expressions, each with those in it."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = rules
        self._known: dict[str, str] = {}
        self._within: list[str] = []

    def expanded(self, name: str) -> str:
        if name in self._known:
            return self._known[name]
        if name not in self._rules or name in self._within or len(self._within) > _MAX_DEPTH:
            raise NotRegular(name)
        self._within.append(name)
        self._known[name] = f"(?:{_Body(self._rules[name], self).read()})"
        self._within.pop()
        return self._known[name]


class _Body:
    """Reads the body of one rule."""

    def __init__(self, text: str, expander: _Expander) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._expander = expander

    def read(self) -> str:
        expression = self._options()
        if self._at < len(self._tokens):
            raise NotRegular(self._tokens[self._at][1])
        return expression

    def _next(self, *wanted: str) -> str | None:
        """Return the next token if it is one of those wanted, and go past it."""
        if self._at < len(self._tokens) and self._tokens[self._at][1] in wanted:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _options(self) -> str:
        options = [self._sequence()]
        while self._next("|"):
            options.append(self._sequence())
        return "|".join(options)

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at][1] not in ("|", ")", "]"):
            if self._next("->"):
                self._at += 1  # the name of an alternative
                continue
            parts.append(self._repeated(self._atom()))
        expression = "".join(parts)
        if len(expression) > MAX_CHARS:
            raise NotRegular("too long")
        return expression

    def _repeated(self, atom: str) -> str:
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if text in ("?", "*", "+"):
                atom = f"(?:{atom}){text}"
            elif kind == "times":
                least, _, most = re.sub(r"[~\s]", "", text).partition("..")
                atom = f"(?:{atom}){{{least}{',' + most if most else ''}}}"
            else:
                break
            self._at += 1
        return atom

    def _atom(self) -> str:
        kind, text = self._tokens[self._at]
        self._at += 1
        match kind:
            case "string":
                return self._string(text)
            case "regex":
                return _regex(text)
            case "name":
                return self._expander.expanded(text)
            case _ if text not in ("(", "["):
                raise NotRegular(text)
            case _:
                return self._group(text)

    def _group(self, opening: str) -> str:
        inner = self._options()
        if not self._next(")" if opening == "(" else "]"):
            raise NotRegular(opening)
        return f"(?:{inner})" if opening == "(" else f"(?:{inner})?"

    def _string(self, token: str) -> str:
        ignores_case = token.endswith("i")
        text = _unescaped(token.removesuffix("i")[1:-1])
        if self._next(".."):
            last = self._tokens[self._at : self._at + 1]
            end = _unescaped(last[0][1][1:-1]) if last and last[0][0] == "string" else ""
            if ignores_case or len(text) != 1 or len(end) != 1:
                raise NotRegular(token)
            self._at += 1
            return f"[{exactly(text)}-{exactly(end)}]"
        if not ignores_case:
            return exactly(text)
        both = ((char.lower(), char.upper()) for char in text)
        return "".join(exactly(a) if a == b else f"[{exactly(a + b)}]" for a, b in both)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise NotRegular(text[at:])
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return tokens


def _regex(token: str) -> str:
    inner, _, flags = token[1:].rpartition("/")
    if flags:
        raise NotRegular(token)
    return f"(?:{greedy(inner).replace(chr(92) + '/', '/')})"


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
