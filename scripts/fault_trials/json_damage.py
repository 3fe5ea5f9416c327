"""Owns damage to JSON bodies: values of the wrong kind, in the wrong place, too many, too deep."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_DEEP = "@deep@"
_SURROGATE = "@surrogate@"
_DEPTHS = (50, 130, 1000, 50_000)
_LONG = (1000, 70_000)

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, 1e-320, 2**31, 2**32, 2**53, 2**63 - 1),
    *(2**63, 2**64, 10**30, -(2**63), float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "a",
        "0",
        "true",
        "null",
        "\x00",
        "a\x00b",
        "\ufeff",
        "\u202e",
        "🦜" * 50,
        _SURROGATE,
    ),
    *(
        "../../etc/passwd",
        "{{ 7*7 }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "%s%n",
        "<|im_end|>",
    ),
    *([], {}, [[]], [None], [{}], {"": None}, {"a": {"b": []}}, {"$ref": "#"}, _DEEP, [_DEEP]),
    *({"type": "object"}, {"type": "function"}, ["user"], [1, "a", None], {"__proto__": 1}),
)
SCHEMAS: tuple[Any, ...] = (
    {"$ref": "#"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$ref": "https://example.com/schema.json"},
    {"allOf": [{"$ref": "#"}, {"type": "object"}]},
    {"type": "string", "pattern": "(a+)+$"},
    {"type": "string", "pattern": "[a-z]{1,100000}"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": "(?=a)b"},
    {"type": "string", "minLength": 10**9},
    {"type": "string", "minLength": 5, "maxLength": 2},
    {"type": "string", "format": "no-such"},
    {"type": "array", "minItems": 10**7, "items": {"type": "integer"}},
    {"type": "integer", "minimum": 10**30, "maximum": 10**31},
    {"type": "integer", "minimum": 5, "maximum": 2},
    {"type": "number", "multipleOf": 1e-300},
    {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(2000)}},
    {"type": "object", "required": [f"p{n}" for n in range(2000)]},
    {"type": "object", "patternProperties": {"(a+)+": {}}, "additionalProperties": False},
    {"enum": [f"value {n}" for n in range(3000)]},
    {"enum": []},
    {"const": {"a": [_DEEP]}},
    {"anyOf": [{"type": "object", "properties": {"a": {"$ref": "#"}}}] * 50},
    {"not": {}},
    {"type": ["nonsense"]},
    {"type": "object", "properties": _DEEP},
    {"if": {"type": "string"}, "then": False},
    False,
)
GRAMMARS: tuple[str, ...] = (
    *("", "start: start", 'start: start "a"', 'start: "a" start | start "b" |', "start: NOPE"),
    *("start: /(a+)+$/", "start: /[a-z]{1,100000}/", "start: /(/", "root ::= root", "root ::="),
    *(
        'root ::= "a"{1000000}',
        "root ::= [",
        'root ::= "\\x00"',
        'root ::= ("a" | "b")* root',
        "\x00",
    ),
    *("start: %json {}", 'start: %json {"$ref": "#"}', "%llguidance {}\nstart: <[0]>"),
    *(
        "start: <|no_such_token|>",
        'start: "a"\n' * 5000,
        "start: " + "(" * 20_000,
        "start: ~" + "a" * 300,
    ),
    *("start: " + " | ".join(f'"{n}"' for n in range(8000)), "%import common.WORD\nstart: WORD"),
)
REGEXES: tuple[str, ...] = (
    *(
        "",
        "(",
        "(a+)+$",
        "(a|a)*b",
        "[a-z]{1,100000}",
        "(?=a)b",
        "(?P<x>a)(?P=x)",
        "\\1",
        "a{,}",
        "\\",
    ),
    *(
        "(((((((((a{10}){10}){10}){10}){10}){10}){10}){10}){10})",
        "[" * 1000,
        "\\p{L}{5000}",
        ".*" * 3000,
    ),
    *("(?i)\\w+", "^$", "\x00", "a{1000000}", "(" * 10_000 + ")" * 10_000, "[^\\x00-\\x{10FFFF}]"),
)
_KNOWN: dict[str, tuple[Any, ...]] = {
    "schema": SCHEMAS,
    "json_schema": SCHEMAS,
    "parameters": SCHEMAS,
    "guided_json": SCHEMAS,
    "grammar": GRAMMARS,
    "guided_grammar": GRAMMARS,
    "regex": REGEXES,
}


def damaged(body: dict[str, Any], rng: random.Random) -> bytes:
    """Return the JSON of a body with up to three damages."""
    value = copy.deepcopy(body)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        _damage(value, rng)
    data = _written(value, rng)
    return _torn(data, rng) if rng.random() < 0.08 else data


def _damage(body: dict[str, Any], rng: random.Random) -> None:
    holder, key = _place(body, rng)
    draw = rng.random()
    if draw < 0.60:
        values = _KNOWN.get(key, VALUES) if rng.random() < 0.8 else VALUES
        holder[key] = copy.deepcopy(rng.choice(values))
    elif draw < 0.70:
        del holder[key]
    elif draw < 0.78 and isinstance(holder, dict):
        name = rng.choice(("", "a" * 500, "temperature", "tools", "\x00", "model"))
        holder[name] = copy.deepcopy(holder[key])
    elif draw < 0.86:
        holder[key] = [holder[key]] * rng.choice((1, 2, 100, 5000))
    elif draw < 0.93:
        holder[key] = {"value": holder[key]}
    else:
        holder[key] = "x" * rng.choice(_LONG)


def _place(body: dict[str, Any], rng: random.Random) -> tuple[Any, Any]:
    """Return something that holds values, and the key or index of one of them."""
    places: list[tuple[Any, Any]] = []
    left: list[Any] = [body]
    while left:
        holder = left.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            places.append((holder, key))
            if isinstance(holder[key], (dict, list)) and holder[key]:
                left.append(holder[key])
    if places:
        return rng.choice(places)
    body["messages"] = None
    return body, "messages"


def _written(value: Any, rng: random.Random) -> bytes:
    depth = rng.choice(_DEPTHS)
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    text = json.dumps(value).replace(f'"{_SURROGATE}"', '"\\ud800"')
    deep = opening * depth + "1" + closing * depth
    return text.replace(f'"{_DEEP}"', deep).encode()


def _torn(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return rng.choice(
        (data[:at], data[:at] + rng.randbytes(3) + data[at:], data + data, b"\xff" + data)
    )
