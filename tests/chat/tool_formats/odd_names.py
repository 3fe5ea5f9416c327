"""Names of arguments that clients use and that no programming language would take."""

from __future__ import annotations

from typing import Any

NAMES = [
    "$filter", "Issue Type", "filter[name]", "a.b", "a-b", "@id", "x:y", "a,b", "p=q", "f(x)",
    "he said \"hi\"", "it's", "back\\slash", "\\n", "<b>", "a<b", "a>b", "x > y", "two\nlines",
    "tab\there", "nul\x00", "class", "None", "True", "1st", "5", "-", ".", "größe", "価格", "🙂",
    "a&b", "&amp;", "{x}", "[0]", "a/b", "#", "%s", "*", "`code`", "item", "name", "arguments",
    "parameters", "</parameter>", "<tool_call>", "</arg_key>", "<|\"|>", "<|sep|>", " lead",
    "trail ", "two  spaces", "long" * 100, "a;b", "q?", "!", "a|b", "~", "^", "+", "\"quoted\"",
    "'single'", "\u2028", "e\u0301", "é", "\r\nbreak", "constructor", "__proto__", "null", "/root",
]  # fmt: skip


def nested(names: list[str] = NAMES) -> dict[str, Any]:
    """Return the schema of an object that requires these names, and an object with them again."""
    properties: dict[str, Any] = {name: {"enum": [f"v{at}"]} for at, name in enumerate(names)}
    inner = {"type": "object", "properties": dict(properties), "required": list(names)}
    within = {"type": "array", "items": inner, "minItems": 1, "maxItems": 1}
    properties = {**properties, "in one": inner, "in [many]": within}
    return {"type": "object", "properties": properties, "required": list(properties)}


def values(names: list[str] = NAMES) -> dict[str, Any]:
    """Return the only value of `nested`."""
    flat = {name: f"v{at}" for at, name in enumerate(names)}
    return {**flat, "in one": flat, "in [many]": [flat]}
