"""Owns the values that the reading of a C++ source deals in; must not know its syntax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Fields of llama.cpp's structures in their order, as an initialiser in braces gives them.
FIELDS: dict[str, dict[str, Any]] = {
    "common_chat_tool": {"name": "", "description": "", "parameters": ""},
    "common_chat_tool_call": {"name": "", "arguments": "", "id": ""},
    "common_chat_msg": {
        "role": "",
        "content": "",
        "content_parts": [],
        "tool_calls": [],
        "reasoning_content": "",
        "tool_name": "",
        "tool_call_id": "",
    },
}


class Unreadable(Exception):
    """Nothing is known of what stands at a place of the source."""


@dataclass
class Record:
    """A structure."""

    fields: dict[str, Any] = field(default_factory=dict)


def record(type_name: str, given: Any = ()) -> Record:
    """Return a structure of this type.

    Args:
        given: its first fields, in order; or a structure, which is returned.
    """
    if isinstance(given, Record):
        return given
    fields = {
        name: list(default) if isinstance(default, list) else default
        for name, default in FIELDS[type_name].items()
    }
    for name, value in zip(fields, given, strict=False):
        fields[name] = type(fields[name])() if value == [] else value
    return Record(fields)


@dataclass
class Tester:
    """What makes the cases of one template."""

    path: str


@dataclass
class Built:
    """A case under construction: the settings given so far, by the method's name."""

    path: str
    text: str
    line: int
    settings: dict[str, Any] = field(default_factory=dict)


def member(value: Any, name: str) -> Any:
    """Return a field, or a method as a function.

    Raises:
        Unreadable: there is none of this name.
    """
    if isinstance(value, Record) and name in value.fields:
        return value.fields[name]
    methods: dict[str, Callable[..., Any]] = {}
    if isinstance(value, str | list):
        methods = {"empty": lambda: not value, "size": lambda: len(value), "c_str": lambda: value}
    if isinstance(value, list):
        methods["push_back"] = methods["emplace_back"] = value.append
    if isinstance(value, Built):
        return lambda *given: _with(value, name, given)
    if name not in methods:
        raise Unreadable(f"{type(value).__name__} has no '{name}'")
    return methods[name]


def _with(built: Built, name: str, given: tuple[Any, ...]) -> Built:
    built.settings[name] = given[0] if given else True
    return built


def added(first: Any, second: Any) -> Any:
    """Return the sum, or the texts as one.

    Raises:
        Unreadable: neither two texts nor two numbers.
    """
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    raise Unreadable(f"{type(first).__name__} + {type(second).__name__}")
