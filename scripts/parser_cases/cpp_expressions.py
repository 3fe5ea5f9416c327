"""Owns evaluating C++ expressions of the simple kind that tests are written in.

Literals, names, lists in braces, sums, comparisons, calls and members; must not know statements.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from scripts.parser_cases.cpp_tokens import Token
from scripts.parser_cases.cpp_values import (
    FIELDS,
    Built,
    Record,
    Tester,
    Unreadable,
    added,
    member,
    record,
)

OPENERS = {"(": ")", "{": "}", "[": "]"}
_CONSTANTS = {"true": True, "false": False, "nullptr": None}
_MAKERS = ("std::string", "std::vector", "string", "vector")
_TESTER = "peg_tester"


class Cursor:
    """A place in a list of tokens."""

    def __init__(self, tokens: list[Token], at: int = 0) -> None:
        self.tokens = tokens
        self.at = at

    @property
    def token(self) -> Token:
        """The token at this place."""
        return self.tokens[self.at]

    def has_more(self) -> bool:
        """Return whether something comes next."""
        return self.token.kind != "end"

    def ahead(self, n: int = 1) -> Token:
        """Return a later token."""
        return self.tokens[min(self.at + n, len(self.tokens) - 1)]

    def sees(self, *texts: str) -> bool:
        """Return whether a name or mark that is one of these comes next."""
        return self.token.kind in ("name", "mark") and self.token.text in texts

    def next(self) -> Token:
        """Return the token at this place, and go on."""
        token = self.token
        self.at += 1
        return token

    def took(self, *texts: str) -> str:
        """Go on if one of these comes next, and return it; else empty."""
        return self.next().text if self.sees(*texts) else ""

    def expect(self, text: str) -> None:
        """Go on behind this.

        Raises:
            Unreadable: something else comes.
        """
        if not self.took(text):
            raise Unreadable(f"line {self.token.line}: '{self.token.text}' instead of '{text}'")

    def skip_brackets(self) -> list[Token]:
        """Go behind the bracket that closes the one at this place; return what is inside."""
        start, depth = self.at + 1, 0
        while self.has_more():
            token = self.next()
            if token.kind == "mark":
                depth += (token.text in OPENERS) - (token.text in OPENERS.values())
            if depth == 0:
                break
        return self.tokens[start : self.at - 1]

    def skip_angles(self) -> None:
        """Go behind the arguments of a template."""
        depth = 0
        while self.has_more():
            text = self.next().text
            depth += (text == "<") - (text == ">")
            if depth == 0:
                return


class Expressions:
    """Evaluates the expression at a cursor.

    Args:
        cursor: is moved behind it.
        names: variables that are known.
        call: calls a function of the source by its name.
    """

    def __init__(
        self,
        cursor: Cursor,
        names: MutableMapping[str, Any],
        call: Callable[[str, list[Any]], Any],
    ) -> None:
        self._cursor = cursor
        self._names = names
        self._call = call

    def value(self) -> Any:
        """Return the value.

        Raises:
            Unreadable: something in it is unknown.
        """
        value = self._all()
        while self._cursor.took("||"):
            other = self._all()
            value = bool(value or other)
        return value

    def _all(self) -> Any:
        value = self._compared()
        while self._cursor.took("&&"):
            other = self._compared()
            value = bool(value and other)
        return value

    def _compared(self) -> Any:
        value = self._sum()
        while sign := self._cursor.took("==", "!="):
            value = (value == self._sum()) == (sign == "==")
        return value

    def _sum(self) -> Any:
        value = self._unary()
        while self._cursor.took("+"):
            value = added(value, self._unary())
        return value

    def _unary(self) -> Any:
        if self._cursor.took("!"):
            return not self._unary()
        if self._cursor.took("-"):
            return -self._unary()
        return self._postfix()

    def _postfix(self) -> Any:
        value = self._primary()
        while self._cursor.sees(".", "->", "["):
            if self._cursor.took("["):
                value = _item(value, self.value())
                self._cursor.expect("]")
                continue
            self._cursor.next()
            line, name = self._cursor.token.line, self._cursor.next().text
            given = self._arguments("(") if self._cursor.sees("(") else None
            if isinstance(value, Tester) and name == "test" and given:
                value = Built(value.path, given[0], line)
            else:
                found = member(value, name)
                value = found if given is None else found(*given)
        return value

    def _primary(self) -> Any:
        token = self._cursor.token
        if token.kind == "text":
            return self._literals()
        if token.kind == "number":
            return _number(self._cursor.next().text)
        if self._cursor.sees("{"):
            return self._arguments("{")
        if self._cursor.took("("):
            value = self.value()
            self._cursor.expect(")")
            return value
        if token.kind == "name":
            return self._named()
        raise Unreadable(f"line {token.line}: '{token.text}'")

    def _literals(self) -> str:
        text = ""
        while self._cursor.token.kind == "text":
            text += self._cursor.next().text
        return text

    def _arguments(self, opener: str) -> list[Any]:
        self._cursor.expect(opener)
        values: list[Any] = []
        while not self._cursor.took(OPENERS[opener]):
            values.append(self.value())
            if not self._cursor.sees(OPENERS[opener]):
                self._cursor.expect(",")
        return values

    def _named(self) -> Any:
        token = self._cursor.next()
        name = token.text
        while self._cursor.took("::"):
            name += "::" + self._cursor.next().text
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _MAKERS and self._cursor.sees("<"):
            self._cursor.skip_angles()
        if self._cursor.sees("(", "{") and name not in self._names:
            return self._made(name, self._arguments(self._cursor.token.text))
        if name in self._names:
            return self._names[name]
        if name.isupper() and name.startswith("COMMON_"):
            return name
        raise Unreadable(f"line {token.line}: '{name}' is unknown")

    def _made(self, name: str, given: list[Any]) -> Any:
        if name == _TESTER:
            return Tester(given[0])
        if name in FIELDS:
            return record(name, given)
        if name.endswith("string"):
            return given[0] if given else ""
        if name in _MAKERS:
            return given
        return self._call(name, given)


def _item(value: Any, at: Any) -> Any:
    fields = value.fields if isinstance(value, Record) else value
    try:
        return fields[at]
    except (TypeError, LookupError):
        raise Unreadable(f"no item {at!r}") from None


def _number(text: str) -> int | float:
    plain = text.replace("'", "").rstrip("uUlLzZfF")
    try:
        return int(plain, 0)
    except ValueError:
        return float(plain)
