"""Owns finding the cases that a C++ test source builds, by following its simple statements.

Declarations, assignments, blocks, `if`, `for` over a list, `return` and calls of the source's own
functions are followed; any other statement is passed over, and noted if it builds a case.
"""

from __future__ import annotations

import itertools
from collections import ChainMap
from dataclasses import dataclass, field
from typing import Any

from scripts.parser_cases.cpp_expressions import OPENERS, Cursor, Expressions
from scripts.parser_cases.cpp_tokens import Token, tokens_of
from scripts.parser_cases.cpp_values import FIELDS, Built, Record, Unreadable, record

_Names = ChainMap[str, Any]
_QUALIFIERS = ("const", "static", "constexpr", "inline")
_MAX_DEPTH = 20
_TESTER = "peg_tester"


@dataclass
class _Function:
    parameters: list[tuple[str, list[Token]]]
    body: list[Token]


@dataclass
class Found:
    """What a source holds.

    Attributes:
        built: its cases, in order.
        unread: lines of cases that could not be read, with the reason.
    """

    built: list[Built] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def cases_of(source: str) -> Found:
    """Return the cases of a source.

    Raises:
        ValueError: it is no C++.
    """
    return _Source(tokens_of(source)).found()


class _Source:
    def __init__(self, tokens: list[Token]) -> None:
        self._functions: dict[str, _Function] = {}
        self._globals: dict[str, Any] = {}
        self._found = Found()
        self._depth = 0
        self._declare_all(Cursor(tokens))

    def found(self) -> Found:
        makers = {
            name: function
            for name, function in self._functions.items()
            if any(token.text == _TESTER for token in function.body)
        }
        called = {token.text for function in makers.values() for token in function.body}
        for name in makers.keys() - called:
            self._call(name, [])
        return self._found

    # ------------------------------------------------------------ declarations

    def _declare_all(self, cursor: Cursor) -> None:
        while cursor.has_more():
            start, name = cursor.at, ""
            parameters: list[Token] | None = None
            while cursor.has_more() and not cursor.sees(";"):
                before = cursor.tokens[cursor.at - 1].text
                if cursor.sees("(") and parameters is None:
                    name, parameters = before, cursor.skip_brackets()
                elif cursor.sees("{") and parameters is not None and before in (")", "const"):
                    body = cursor.skip_brackets()
                    self._functions[name] = _Function(_parameters(parameters), body)
                    break
                elif cursor.sees(*OPENERS):
                    cursor.skip_brackets()
                else:
                    cursor.next()
            else:
                cursor.took(";")
                self._declare_global(cursor.tokens[start : cursor.at])

    def _declare_global(self, tokens: list[Token]) -> None:
        try:
            self._statement(_over(tokens), ChainMap(self._globals))
        except (Unreadable, TypeError):
            return

    # ------------------------------------------------------------ statements

    def _call(self, name: str, given: list[Any]) -> Any:
        function = self._functions.get(name)
        if function is None or self._depth > _MAX_DEPTH:
            raise Unreadable(f"'{name}' is unknown")
        names: _Names = ChainMap({}, self._globals)
        for at, (parameter, default) in enumerate(function.parameters):
            if at < len(given):
                names[parameter] = given[at]
            else:
                names[parameter] = self._value(_over(default), names) if default else None
        self._depth += 1
        try:
            self._block(function.body, names)
        except _Return as returned:
            return returned.value
        finally:
            self._depth -= 1
        return None

    def _block(self, tokens: list[Token], names: _Names) -> None:
        cursor = _over(tokens)
        while cursor.has_more():
            start = cursor.at
            try:
                self._statement(cursor, names)
            except (Unreadable, TypeError) as error:
                cursor.at = start
                _skip_statement(cursor)
                self._note(cursor.tokens[start : cursor.at], str(error))

    def _note(self, tokens: list[Token], reason: str) -> None:
        for before, token in itertools.pairwise(tokens):
            if before.text in (".", "->") and token.text == "test":
                self._found.unread.append((token.line, reason))

    def _statement(self, cursor: Cursor, names: _Names) -> None:
        if cursor.took(";"):
            return
        if cursor.sees("{"):
            self._block(cursor.skip_brackets(), names.new_child())
        elif cursor.took("if"):
            self._if(cursor, names)
        elif cursor.took("for"):
            self._for(cursor, names)
        elif cursor.took("return"):
            raise _Return(None if cursor.sees(";") else self._value(cursor, names))
        else:
            self._simple(cursor, names)
            cursor.expect(";")

    def _if(self, cursor: Cursor, names: _Names) -> None:
        is_so = self._value(_over(cursor.skip_brackets()), names)
        self._branch(cursor, names, taken=bool(is_so))
        if cursor.took("else"):
            self._branch(cursor, names, taken=not is_so)

    def _branch(self, cursor: Cursor, names: _Names, *, taken: bool) -> None:
        if taken:
            self._statement(cursor, names)
        else:
            _skip_statement(cursor)

    def _for(self, cursor: Cursor, names: _Names) -> None:
        head = _over(cursor.skip_brackets())
        _, variables = _declared(head)
        head.expect(":")
        items = self._value(head, names)
        start = cursor.at
        _skip_statement(cursor)
        for item in items:
            inner = names.new_child()
            inner.update(zip(variables, [item] if len(variables) == 1 else item, strict=True))
            self._statement(Cursor(cursor.tokens, start), inner)

    def _simple(self, cursor: Cursor, names: _Names) -> None:
        start = cursor.at
        type_name, variables = _declared(cursor)
        if not variables:
            cursor.at = start
            self._expression(cursor, names)
            return
        value: Any = []
        if cursor.took("=") or not cursor.sees(";"):
            value = self._value(cursor, names)
        names[variables[0]] = record(type_name, value) if type_name in FIELDS else value

    def _expression(self, cursor: Cursor, names: _Names) -> None:
        is_field = [cursor.ahead(n).text for n in (1, 3)] == [".", "="]
        owner = names.get(cursor.token.text) if is_field else None
        if isinstance(owner, Record):
            name = cursor.ahead(2).text
            cursor.at += 4
            owner.fields[name] = self._value(cursor, names)
            return
        value = self._value(cursor, names)
        if isinstance(value, Built) and value.settings.pop("run", False):
            self._found.built.append(value)

    def _value(self, cursor: Cursor, names: _Names) -> Any:
        return Expressions(cursor, names, self._call).value()


def _over(tokens: list[Token]) -> Cursor:
    return Cursor([*tokens, Token("end", "", tokens[-1].line if tokens else 0)])


def _declared(cursor: Cursor) -> tuple[str, list[str]]:
    """Go behind the type and names of a declaration; no names where there is none."""
    while cursor.took(*_QUALIFIERS):
        pass
    type_name = cursor.next().text if cursor.token.kind == "name" else ""
    while cursor.took("::"):
        type_name += "::" + cursor.next().text
    if cursor.sees("<"):
        cursor.skip_angles()
    while cursor.took("*", "&", "&&", "const"):
        pass
    if not type_name:
        return "", []
    if cursor.sees("["):
        return type_name, [token.text for token in cursor.skip_brackets() if token.text != ","]
    if cursor.token.kind != "name":
        return "", []
    return type_name, [cursor.next().text]


def _parameters(tokens: list[Token]) -> list[tuple[str, list[Token]]]:
    """Return the names of a function's parameters, each with the tokens of its default."""
    cursor, result = _over(tokens), []
    while cursor.has_more():
        _, names = _declared(cursor)
        default: list[Token] = []
        has_default = bool(cursor.took("="))
        while cursor.has_more() and not cursor.took(","):
            default.append(cursor.next())
        result.append((names[0] if names else "", default if has_default else []))
    return result


def _skip_statement(cursor: Cursor) -> None:
    """Go behind a statement: a block, or up to a semicolon."""
    if cursor.took("if", "for", "while", "switch", "catch"):
        cursor.skip_brackets()
        _skip_statement(cursor)
        if cursor.took("else"):
            _skip_statement(cursor)
        return
    if cursor.took("try"):
        _skip_statement(cursor)
        while cursor.sees("catch"):
            _skip_statement(cursor)
        return
    if cursor.sees("{"):
        cursor.skip_brackets()
        return
    while cursor.has_more() and not cursor.took(";"):
        if cursor.token.kind == "mark" and cursor.token.text in OPENERS:
            cursor.skip_brackets()
        else:
            cursor.next()
