"""Schemas for every keyword of JSON Schema, with values that fit and values that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Schema = dict[str, Any]


class Case(NamedTuple):
    """A schema.

    Attributes:
        schema: the schema.
        right: JSON texts that a grammar for it admits.
        wrong: JSON texts that it does not admit.
    """

    schema: Schema
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_INTEGER: Schema = {"type": "integer"}
_OBJECT: Schema = {"type": "object"}
_LIST: Schema = {"type": "array"}
_A: Schema = {"type": "object", "properties": {"a": _INTEGER}}
_OPEN: Schema = {**_A, "additionalProperties": {"type": "boolean"}}
_ABC: Schema = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}}
_TAGGED: Schema = {
    "type": "object",
    "properties": {"kind": {"const": "a"}, "n": _INTEGER},
    "required": ["kind"],
}

# Strict schemas whose keyword is enforced.
HELD: Mapping[str, list[Case]] = {
    "$schema": [Case({"$schema": "https://json-schema.org/draft/2020-12/schema", **_INTEGER})],
    "$id": [
        Case(
            {"$id": "http://example/x", "$ref": "#/$defs/a", "$defs": {"a": _INTEGER}},
            ("1",),
            ('"a"',),
        )
    ],
    "$anchor": [
        Case(
            {"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "null"}}},
            ("null",),
            ("1",),
        )
    ],
    "$ref": [
        Case({"$ref": "#/$defs/a", "maxLength": 2, "$defs": {"a": _STRING}}, ('"ab"',), ('"abc"',)),
        Case({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "null"}}}),
        Case({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]}, ("[null]",)),
        Case(
            {
                "type": "object",
                "properties": {"value": _INTEGER, "next": {"$ref": "#"}},
                "required": ["value"],
            },
            ('{"value": 1, "next": {"value": 2}}',),
            ('{"value": 1, "next": {}}',),
        ),
    ],
    "$defs": [
        Case({"$ref": "#/$defs/a~1b", "$defs": {"a/b": _INTEGER}}, ("1",), ("null",)),
        Case({"$defs": {"unused": {"uniqueItems": True}}, "type": "null"}, ("null",)),
    ],
    "$comment": [Case({"$comment": "!", **_INTEGER})],
    "$vocabulary": [Case({"$vocabulary": {}, **_INTEGER})],
    "$dynamicAnchor": [Case({"$ref": "#/$defs/a", "$defs": {"a": {"$dynamicAnchor": "x"}}})],
    "allOf": [
        Case({"allOf": [{"minimum": 3}, {"maximum": 5}, _INTEGER]}, ("4",), ("2", "6")),
        Case(
            {"allOf": [_A, {"properties": {"b": {}}, "required": ["b"]}]},
            ('{"a": 1, "b": 2}',),
            ('{"a": 1}', '{"a": "x", "b": 1}', '{"b": 1, "\\u0061": "x"}'),
        ),
        Case({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}], **_STRING}, ('"ab"',), ('"a"',)),
        Case(
            {"allOf": [{"prefixItems": [{}, False]}, {"items": _INTEGER}], **_LIST},
            ("[1]",),
            ("[1, 1]",),
        ),
    ],
    "anyOf": [
        Case({"anyOf": [_INTEGER, {"type": "null"}]}, ("1", "null"), ('"a"',)),
        Case({"anyOf": [{"minLength": 5}, {"maxLength": 2}], **_STRING}, ('"ab"',), ('"abc"',)),
        Case(
            {**_A, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            ('{"a": 1}', '{"b": 1}'),
            ("{}", '{"b": 1, "\\u0061": "x"}'),
        ),
    ],
    "oneOf": [
        Case({"oneOf": [_INTEGER, _STRING]}, ("1", '"a"'), ("null",)),
        Case({"oneOf": [{"const": 1}, {"const": 2}]}, ("1", "2"), ("3",)),
        Case(
            {
                "oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
                "$defs": {
                    "a": _TAGGED,
                    "b": {**_TAGGED, "properties": {"kind": {"const": "b"}}},
                },
            },
            ('{"kind": "a", "n": 1}', '{"kind": "b"}'),
            ('{"kind": "c"}', '{"kind": "b", "n": 1}'),
        ),
    ],
    "not": [Case({"not": False, **_INTEGER})],
    "if": [Case({"if": _INTEGER})],
    "then": [Case({"then": False})],
    "else": [Case({"else": False})],
    "dependentSchemas": [Case({"dependentSchemas": {"a": True}})],
    "prefixItems": [
        Case({"prefixItems": [_INTEGER, _STRING], **_LIST}, ("[1]", '[1, "a", 2]'), ('["a"]',)),
        Case({"prefixItems": [_INTEGER], "items": False, **_LIST}, ("[]", "[1]"), ("[1, 1]",)),
    ],
    "items": [
        Case({"items": _INTEGER, **_LIST}, ("[]", "[1, 2]"), ('["a"]',)),
        Case({"items": {"type": "object", "properties": {}}, "maxItems": 2, **_LIST}, ("[{}]",)),
    ],
    "contains": [Case({"contains": _INTEGER, "minContains": 0})],
    "properties": [
        Case(_A, ('{"a": 1}', "{}"), ('{"a": "x"}', '{"b": 1}')),
        Case({"properties": {"a": False, "b": {}}}, ("{}",), ('{"a": 1}',)),
        Case(
            {"properties": {'"\\é\n': _INTEGER}, "additionalProperties": True},
            ('{"\\"\\\\é\\n": 1}', '{"x": null}'),
            ('{"\\"\\\\é\\n": "x"}', '{"\\"\\\\é\\u000a": "x"}', '{"\\"\\\\\\u00e9\\n": "x"}'),
        ),
    ],
    "patternProperties": [
        Case(
            {"patternProperties": {"^n": _INTEGER, "^s": _STRING}, "additionalProperties": False},
            ('{"n1": 1, "s": "x"}',),
            ('{"n": "x"}', '{"x": 1}', '{"\\u0078": 1}'),
        ),
        Case(
            {"patternProperties": {"^n": _INTEGER}, "additionalProperties": _STRING},
            ('{"n": 1, "x": "y"}',),
            ('{"n": "x"}', '{"\\u006e": "x"}', '{"x": 1}'),
        ),
        Case(
            {
                "properties": {"nn": {"minimum": 3}},
                "patternProperties": {"^n\\S*$": _INTEGER},
                "required": ["nn"],
            },
            ('{"nn": 4, "x": null}',),
            ('{"nn": 2}', '{"nn": 3.5}', '{"nn": 4, "nx": "y"}', '{"nn": 4, "\\u006e": "y"}'),
        ),
    ],
    "additionalProperties": [
        Case(
            _OPEN,
            ('{"a": 1, "b": true}', '{"b\\n": true}'),
            ('{"b": 1}', '{"\\u0061": true}', '{"a": 1, "\\u0061": true}', '{"a": true}'),
        ),
        Case({"additionalProperties": False, **_OBJECT}, ("{}",), ('{"a": 1}',)),
        Case(
            {"required": ["a"], "additionalProperties": _INTEGER, **_OBJECT},
            ('{"a": 1}',),
            ('{"a": "x"}', "{}", '{"\\u0061": 1}'),
        ),
        Case(
            {"properties": {"a": {**_A, "additionalProperties": True}}},
            ('{"a": {"b": 1}}',),
            ('{"a": {"\\u0061": "x"}}',),
        ),
    ],
    "propertyNames": [Case({"propertyNames": {"type": "string"}, **_OBJECT})],
    "unevaluatedItems": [
        Case({"prefixItems": [_INTEGER], "unevaluatedItems": False, **_LIST}, ("[1]",), ("[1, 1]",))
    ],
    "unevaluatedProperties": [
        Case({**_A, "unevaluatedProperties": False}, ('{"a": 1}',), ('{"b": 1}',)),
        Case({**_A, "unevaluatedProperties": _STRING}, ('{"b": "c"}',), ('{"b": 1}',)),
    ],
    "type": [
        Case({"type": ["integer", "null"]}, ("1", "null"), ("1.5", '"a"')),
        Case(_NUMBER, ("1", "-1.5e3"), ("01", "null")),
        Case({"type": "boolean"}, ("true",), ("True",)),
    ],
    "enum": [
        Case({"enum": ["a", 1, None, [1.5], {"b": "\u0001"}]}, ('"a"', "[1.5]"), ('"b"', "true")),
        Case({"enum": ["a", 1], **_STRING}, ('"a"',), ("1",)),
        Case({"enum": [1, 1.0, True]}, ("1", "true"), ("2",)),
        Case({"enum": [2**53, -(2**60)]}, (str(2**53), str(-(2**60))), (str(2**53 + 1),)),
    ],
    "const": [
        Case({"const": {"a": [1]}}, ('{"a": [1]}',), ('{"a": [2]}', "{}")),
        Case({"const": 1.0, **_INTEGER}, ("1",), ("2",)),
        Case({"const": 1e-7}, ("0.0000001",), ("0",)),
    ],
    "multipleOf": [
        Case({"multipleOf": 3, **_INTEGER}, ("9", "-3", "0"), ("10",)),
        Case({"multipleOf": 0.01, **_NUMBER}, ("1.25",), ("1.255",)),
    ],
    "maximum": [
        Case({"maximum": 3, **_INTEGER}, ("3", "-9"), ("4",)),
        Case({"maximum": 2**63 - 1, **_INTEGER}, ("4611686018427387904",), (str(2**63),)),
        Case({"maximum": 1e100, **_NUMBER}, ("3.5",)),
        Case({"maximum": 2**53 + 1, **_INTEGER}, (str(2**53),), (str(2**53 + 2),)),
        Case({"maximum": 3}, ("2.5", '"a"', "{}"), ("4",)),
    ],
    "exclusiveMaximum": [
        Case({"exclusiveMaximum": 3.5, **_NUMBER}, ("3.4",), ("3.5",)),
        Case({"exclusiveMaximum": -1, "minimum": -1.5, **_NUMBER}, ("-1.2",), ("-1", "-1.0")),
        Case({"exclusiveMaximum": 0, "minimum": -0.5, **_NUMBER}, ("-0.2",), ("-0", "0")),
        Case({"exclusiveMaximum": 2**60, **_INTEGER}, (str(2**59),), (str(2**60),)),
        Case({"exclusiveMaximum": 2**60, **_NUMBER}, ("1",), (str(2**60), str(2**60 + 1))),
    ],
    "minimum": [
        Case({"minimum": 3, "maximum": 4, **_INTEGER}, ("3", "4"), ("2", "5")),
        Case({"minimum": 2**53 + 1, **_INTEGER}, (str(2**53 + 2),), (str(2**53),)),
        Case({"minimum": -(2**63), **_INTEGER}, ("0",), (str(-(2**63) - 1),)),
        Case({"minimum": -(2**53) - 1, **_INTEGER}, (str(-(2**53)),), (str(-(2**53) - 2),)),
    ],
    "exclusiveMinimum": [
        Case({"exclusiveMinimum": 3, **_INTEGER}, ("4",), ("3",)),
        Case({"exclusiveMinimum": 1, "maximum": 1.5, **_NUMBER}, ("1.01", "1.5"), ("1", "1.0")),
        Case({"allOf": [{"exclusiveMinimum": 0}, {"maximum": 0.5}], **_NUMBER}, ("0.5",), ("0",)),
        Case({"exclusiveMinimum": 5e14, **_NUMBER}, (f"{5 * 10**14 + 1}",), (f"{5 * 10**14}",)),
        Case({"exclusiveMinimum": 2**54, **_INTEGER}, (str(2**54 + 4),), (str(2**54),)),
        Case({"exclusiveMinimum": True, "minimum": 3, **_NUMBER}, ("3.1",), ("3",)),
    ],
    "maxLength": [
        Case({"maxLength": 2, **_STRING}, ('"ab"', '"\\n😀"'), ('"abc"',)),
        Case({"maxLength": 10**12, **_STRING}, ('"ab"',)),
        Case({"maxLength": 2.0}, ('"ab"', "1"), ('"abc"',)),
    ],
    "minLength": [
        Case({"minLength": 2, **_STRING}, ('"ab"', '"😀😀"'), ('"a"', '"😀"', '"\\ud83d\\ude00"'))
    ],
    "pattern": [
        Case({"pattern": "^a|b$", **_STRING}, ('"ax"', '"xb"'), ('"xa"', '"bx"')),
        Case({"pattern": r"^\d\D\s\S\w\W$", **_STRING}, ('"1x aa/"',), ('"٣x aa/"',)),
        Case({"pattern": r"^[^\d\s]+$", **_STRING}, ('"ab"',), ('"a1"', '"a "', '"٣"')),
        Case({"pattern": "^.$", **_STRING}, ('"a"',), ('"\\n"', '"\\r"', '"aa"')),
        Case({"pattern": r"^\<[\<]$", **_STRING}, ('"<<"',), ('"<"',)),
        Case({"pattern": r"^\p{Lu}$", **_STRING}, ('"É"',), ('"é"',)),
        Case({"pattern": "a.*?b", "maxLength": 3, **_STRING}, ('"axb"',), ('"ba"', '"axxb"')),
    ],
    "maxItems": [Case({"maxItems": 1, **_LIST}, ("[]", "[1]"), ("[1, 1]",))],
    "minItems": [Case({"minItems": 2, "maxItems": 2, **_LIST}, ("[1, 1]",), ("[1]", "[]"))],
    "uniqueItems": [Case({"uniqueItems": False, **_LIST})],
    "maxContains": [Case({"maxContains": 1})],
    "minContains": [Case({"minContains": 1})],
    "maxProperties": [
        Case({"maxProperties": 1, **_OBJECT}, ("{}", '{"b": 1}'), ('{"b": 1, "c": 1}',)),
        Case(
            {**_ABC, "maxProperties": 2}, ('{"a": 1, "c": 2}', "{}"), ('{"a": 1, "b": 1, "c": 1}',)
        ),
        Case({**_ABC, "maxProperties": 1, "required": ["b"]}, ('{"b": 1}',), ('{"a": 1, "b": 1}',)),
        Case({**_ABC, "maxProperties": 3}, ('{"a": 1, "b": 1, "c": 1}',)),
        Case({**_A, "maxProperties": 2, "required": ["a"], "additionalProperties": True}),
    ],
    "minProperties": [
        Case({"minProperties": 1, **_OBJECT}, ('{"b": 1}',), ("{}",)),
        Case({**_ABC, "minProperties": 1}, ('{"c": 1}', '{"a": 1, "b": 2}'), ("{}", '{"d": 1}')),
        Case({**_ABC, "minProperties": 2}, ('{"a": 1, "c": 2}',), ('{"a": 1}', '{"d": 1, "a": 1}')),
        Case(
            {**_ABC, "minProperties": 2, "maxProperties": 2}, ('{"b": 1, "c": 2}',), ('{"a": 1}',)
        ),
        Case({**_ABC, "minProperties": 2, "required": ["b"]}, ('{"b": 1, "c": 2}',), ('{"b": 1}',)),
        Case(
            {**_OPEN, "required": ["a"], "minProperties": 2},
            ('{"a": 1, "b": true}',),
            ('{"a": 1}', '{"a": 1, "\\u0061": true}', '{"a": 1, "a": true}'),
        ),
        Case({**_OPEN, "required": ["a"], "minProperties": 1}, ('{"a": 1}',), ("{}",)),
        Case({**_OBJECT, "required": ["a", "b"], "minProperties": 2}, ('{"a": 1, "b": 2}',)),
    ],
    "required": [
        Case({**_A, "required": ["a"]}, ('{"a": 1}',), ("{}",)),
        Case({"required": ["a"], **_OBJECT}, ('{"a": 1}',), ("{}", '{"\\u0061": 1}')),
    ],
    "dependentRequired": [Case({"dependentRequired": {"a": ["b"]}, "required": ["b"], **_OBJECT})],
    "title": [Case({"title": "T", **_INTEGER})],
    "description": [Case({"description": "D", **_INTEGER})],
    "default": [Case({"default": "x", **_INTEGER})],
    "deprecated": [Case({"deprecated": True, **_INTEGER})],
    "readOnly": [Case({"readOnly": True, **_INTEGER})],
    "writeOnly": [Case({"writeOnly": True, **_INTEGER})],
    "examples": [Case({"examples": ["x"], **_INTEGER})],
    "format": [
        Case({"format": "date", **_STRING}, ('"2024-02-29"',), ('"2023-02-29"', '"0000-01-01"')),
        Case({"format": "date-time", **_STRING}, ('"2024-01-02T03:04:05Z"',), ('"2024-01-02"',)),
        Case({"format": "date", "pattern": "^2"}, ('"2024-01-02"', "1"), ('"1999-01-02"',)),
        Case({"format": "time", **_STRING}, ('"03:04:05Z"',), ('"03:04"',)),
        Case({"format": "duration", **_STRING}, ('"P1DT2H"',), ('"1d"',)),
        Case({"format": "email", **_STRING}, ('"a@b.c"',), ('"a"',)),
        Case({"format": "hostname", **_STRING}, ('"a.b"',), ('"-"',)),
        Case({"format": "ipv4", **_STRING}, ('"1.2.3.4"',), ('"1.2.3.400"',)),
        Case({"format": "ipv6", **_STRING}, ('"::1"',), ('"1"',)),
        Case({"format": "uuid", **_STRING}, (), ('"1"',)),
        Case({"format": "uri", **_STRING}, ('"http://a/%20"',), ('"/a"',)),
    ],
    "contentEncoding": [Case({"contentEncoding": "base64", **_STRING})],
    "contentMediaType": [Case({"contentMediaType": "application/json", **_STRING})],
    "contentSchema": [Case({"contentSchema": {"uniqueItems": True}, **_STRING})],
    "definitions": [Case({"$ref": "#/definitions/a", "definitions": {"a": _INTEGER}}, ("1",))],
    "additionalItems": [
        Case(
            {"items": [_INTEGER], "additionalItems": False, **_LIST}, ("[1]",), ("[1, 1]", '["a"]')
        ),
        Case({"additionalItems": False, **_LIST}, ("[1]",)),
    ],
    "dependencies": [Case({"dependencies": {}})],
    "id": [Case({"id": "http://example/x", **_INTEGER})],
    "$recursiveAnchor": [Case({"$recursiveAnchor": True, **_INTEGER})],
    "nullable": [Case({"nullable": True, **_STRING}, ('"a"',), ("null",))],
    "discriminator": [Case({"discriminator": {"propertyName": "a"}, **_INTEGER})],
    "example": [Case({"example": 1, **_STRING})],
    "externalDocs": [Case({"externalDocs": {}, **_STRING})],
    "xml": [Case({"xml": {}, **_STRING})],
}

# Schemas whose keyword cannot be enforced: refused where they are strict.
UNHELD: Mapping[str, list[Schema]] = {
    "$dynamicRef": [{"$dynamicRef": "#a", "$dynamicAnchor": "a"}],
    "oneOf": [
        {"oneOf": [_INTEGER, _NUMBER]},
        {"oneOf": [{"const": 1}, {"const": 1.0}]},
        {"oneOf": [{**_A, "required": ["a"]}, {"type": "object", "properties": {"b": {}}}]},
    ],
    "not": [{"not": _STRING}, {"allOf": [{"not": {"const": 1}}]}],
    "if": [{"if": _INTEGER, "then": {"minimum": 3}}],
    "then": [{"if": True, "then": _INTEGER}],
    "else": [{"if": False, "else": _INTEGER}],
    "dependentSchemas": [{"dependentSchemas": {"a": {"required": ["b"]}}}],
    "contains": [{"contains": _INTEGER, **_LIST}],
    "patternProperties": [
        {"patternProperties": {"^a": _INTEGER, "b$": _STRING}},
        {"patternProperties": {"[a--b]": _INTEGER}},
    ],
    "propertyNames": [{"propertyNames": {"maxLength": 3}, **_OBJECT}],
    "unevaluatedItems": [{"allOf": [{"prefixItems": [True]}], "unevaluatedItems": False}],
    "unevaluatedProperties": [{"allOf": [_A], "unevaluatedProperties": False}],
    "enum": [{"enum": [1, 2**53 + 1]}],
    "const": [{"const": 2**53 + 1}, {"const": {"a": [10**30]}}, {"const": 2**64 + 1}],
    "maximum": [{"maximum": -(2**70)}],
    "minimum": [{"minimum": 2**70}, {"minimum": 1e308, **_NUMBER}],
    "pattern": [
        {"pattern": "(?=a)b"},
        {"pattern": r"\bfoo"},
        {"pattern": "[a--b]"},
        {"pattern": r"\Aa"},
        {"pattern": "a++"},
        {"pattern": "x{,3}"},
    ],
    "uniqueItems": [{"uniqueItems": True, **_LIST}, {"items": {"uniqueItems": True}}],
    "maxContains": [{"contains": _INTEGER, "maxContains": 3, "minContains": 0}],
    "minContains": [{"contains": _INTEGER, "minContains": 2}],
    "maxProperties": [{**_OPEN, "maxProperties": 1}],
    "minProperties": [
        {"minProperties": 2, "additionalProperties": {"type": "boolean"}, **_OBJECT},
        {"minProperties": 2, "patternProperties": {"^x": {}}, "additionalProperties": False},
        {**_OPEN, "minProperties": 1},
        {**_OPEN, "required": ["a"], "minProperties": 3},
        {"allOf": [{"minProperties": 2}, {"required": ["a"]}]},
        {"properties": {"a": {"$ref": "#/$defs/m"}}, "$defs": {"m": {"minProperties": 2}}},
    ],
    "dependentRequired": [{"dependentRequired": {"a": ["b"]}, **_OBJECT}],
    "format": [{"format": "idn-email"}, {"format": "regex"}, {"format": "x"}],
    "dependencies": [{"dependencies": {"a": ["b"]}}, {"dependencies": {"a": {"minimum": 1}}}],
    "$recursiveRef": [{"$recursiveRef": "#"}],
}

# Schemas that no value fits, or that are none; refused in any case.
IMPOSSIBLE: list[Schema] = [
    {"enum": []},
    {"type": []},
    {"anyOf": []},
    {"oneOf": []},
    {"anyOf": [False, False]},
    {"allOf": [_INTEGER, _STRING]},
    {"minimum": 3, "maximum": 1, **_NUMBER},
    {"minimum": 1.5, "maximum": 1.7, **_INTEGER},
    {"minLength": 3, "maxLength": 1, **_STRING},
    {"minItems": 3, "maxItems": 1, **_LIST},
    {"minItems": 1, "items": False, **_LIST},
    {"minProperties": 3, "maxProperties": 1, **_OBJECT},
    {"minProperties": 1, "additionalProperties": False, **_OBJECT},
    {"required": ["a"], "additionalProperties": False, **_OBJECT},
    {"required": ["a"], "properties": {"a": False}, **_OBJECT},
    {"required": ["a", "b"], "maxProperties": 1, **_OBJECT},
    {"enum": ["a"], **_INTEGER},
    {"const": 1.5, **_INTEGER},
    {"multipleOf": 0},
    {"multipleOf": -1, **_INTEGER},
    {"pattern": "["},
    {"required": "a"},
    {"minLength": -1},
    {"type": "any"},
    {"$ref": "#/$defs/nowhere"},
]
