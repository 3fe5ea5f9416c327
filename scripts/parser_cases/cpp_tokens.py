"""Owns splitting C++ source into tokens; must not know what they mean."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["name", "number", "text", "mark", "end"]

_SKIPPED = re.compile(r"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(r"[ \t]*#(?:[^\n\\]|\\.|\\\n)*")
_RAW = re.compile(r'(?:u8|[uUL])?R"([^()\\\s]{0,16})\((.*?)\)\1"', re.DOTALL)
_QUOTED = re.compile(r'(?:u8|[uUL])?"((?:[^"\\\n]|\\.|\\\n)*)"', re.DOTALL)
_LETTER = re.compile(r"(?:u8|[uUL])?'((?:[^'\\\n]|\\.[^']*))'")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"\d[\w.']*")
_MARK = re.compile(r"::|->|==|!=|<=|>=|&&|\|\||\+=|-=|\+\+|--|<<|\S")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]+)|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|\n|(.))", re.DOTALL
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Token(NamedTuple):
    """A token of the source; of a literal, `text` is what it stands for."""

    kind: Kind
    text: str
    line: int


def tokens_of(source: str) -> list[Token]:
    """Return the tokens of a source, without comments and directives.

    Raises:
        ValueError: nothing can be made of what stands at a place.
    """
    found: list[Token] = []
    at, line, starts_line = 0, 1, True
    while at < len(source):
        skipped = _DIRECTIVE.match(source, at) if starts_line else None
        skipped = skipped or _SKIPPED.match(source, at)
        if skipped is None:
            token, end = _token(source, at, line)
            found.append(token)
            starts_line = False
        else:
            end = skipped.end()
            starts_line = "\n" in skipped[0] or starts_line
        line += source.count("\n", at, end)
        at = end
    return [*found, Token("end", "", line)]


def _token(source: str, at: int, line: int) -> tuple[Token, int]:
    if raw := _RAW.match(source, at):
        return Token("text", raw[2], line), raw.end()
    if quoted := _QUOTED.match(source, at) or _LETTER.match(source, at):
        return Token("text", unescaped(quoted[1]), line), quoted.end()
    if name := _NAME.match(source, at):
        return Token("name", name[0], line), name.end()
    if number := _NUMBER.match(source, at):
        return Token("number", number[0], line), number.end()
    if mark := _MARK.match(source, at):
        return Token("mark", mark[0], line), mark.end()
    raise ValueError(f"line {line}: {source[at : at + 20]!r} is no token")


def unescaped(text: str) -> str:
    r"""Return what the inside of a literal stands for; bytes like `\xe2` are read as UTF-8."""
    if "\\" not in text:
        return text
    out, at = bytearray(), 0
    for escape in _ESCAPE.finditer(text):
        out += text[at : escape.start()].encode() + _escaped(escape)
        at = escape.end()
    return (out + text[at:].encode()).decode("utf-8", "replace")


def _escaped(escape: re.Match[str]) -> bytes:
    hexadecimal, short, long, octal, letter = escape.groups()
    if hexadecimal or octal:
        return bytes([(int(hexadecimal, 16) if hexadecimal else int(octal, 8)) & 0xFF])
    if short or long:
        return chr(int(short or long, 16)).encode()
    return _SIMPLE.get(letter, letter).encode() if letter else b""
