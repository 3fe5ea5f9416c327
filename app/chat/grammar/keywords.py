"""Owns which keywords of JSON Schema there are, and what becomes of each in a grammar.

Pure data; must not know how any is enforced. The table in `docs/json-schema.md` says the same.
"""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """What a keyword does to the answers that a grammar admits."""

    ENFORCED = "enforced"
    PARTLY = "partly enforced"  # the rest of it as if it were UNENFORCED
    UNENFORCED = "not enforced"  # an error where the schema is strict, ignored otherwise
    ANNOTATION = "annotation"  # says nothing about which values are valid


CORE = {
    "$schema": Effect.ANNOTATION,
    "$id": Effect.ENFORCED,
    "$anchor": Effect.ENFORCED,
    "$ref": Effect.ENFORCED,
    "$defs": Effect.ENFORCED,
    "$comment": Effect.ANNOTATION,
    "$vocabulary": Effect.ANNOTATION,
    "$dynamicAnchor": Effect.PARTLY,
    "$dynamicRef": Effect.UNENFORCED,
}
APPLICATOR = {
    "allOf": Effect.ENFORCED,
    "anyOf": Effect.ENFORCED,
    "oneOf": Effect.PARTLY,
    "not": Effect.UNENFORCED,
    "if": Effect.UNENFORCED,
    "then": Effect.UNENFORCED,
    "else": Effect.UNENFORCED,
    "dependentSchemas": Effect.UNENFORCED,
    "prefixItems": Effect.ENFORCED,
    "items": Effect.ENFORCED,
    "contains": Effect.UNENFORCED,
    "properties": Effect.ENFORCED,
    "patternProperties": Effect.PARTLY,
    "additionalProperties": Effect.ENFORCED,
    "propertyNames": Effect.UNENFORCED,
}
UNEVALUATED = {
    "unevaluatedItems": Effect.PARTLY,
    "unevaluatedProperties": Effect.PARTLY,
}
VALIDATION = {
    "type": Effect.ENFORCED,
    "enum": Effect.PARTLY,
    "const": Effect.PARTLY,
    "multipleOf": Effect.PARTLY,
    "maximum": Effect.ENFORCED,
    "exclusiveMaximum": Effect.ENFORCED,
    "minimum": Effect.ENFORCED,
    "exclusiveMinimum": Effect.ENFORCED,
    "maxLength": Effect.ENFORCED,
    "minLength": Effect.ENFORCED,
    "pattern": Effect.PARTLY,
    "maxItems": Effect.ENFORCED,
    "minItems": Effect.ENFORCED,
    "uniqueItems": Effect.UNENFORCED,
    "maxContains": Effect.UNENFORCED,
    "minContains": Effect.UNENFORCED,
    "maxProperties": Effect.PARTLY,
    "minProperties": Effect.PARTLY,
    "required": Effect.ENFORCED,
    "dependentRequired": Effect.UNENFORCED,
}
META_DATA = {
    "title": Effect.ANNOTATION,
    "description": Effect.ANNOTATION,
    "default": Effect.ANNOTATION,
    "deprecated": Effect.ANNOTATION,
    "readOnly": Effect.ANNOTATION,
    "writeOnly": Effect.ANNOTATION,
    "examples": Effect.ANNOTATION,
}
FORMAT = {"format": Effect.PARTLY}
CONTENT = {
    "contentEncoding": Effect.ANNOTATION,
    "contentMediaType": Effect.ANNOTATION,
    "contentSchema": Effect.ANNOTATION,
}
EARLIER_DRAFTS = {
    "definitions": Effect.ENFORCED,
    "additionalItems": Effect.ENFORCED,
    "dependencies": Effect.UNENFORCED,
    "id": Effect.ENFORCED,
    "$recursiveAnchor": Effect.ANNOTATION,
    "$recursiveRef": Effect.UNENFORCED,
}
OPENAPI = {
    "nullable": Effect.ANNOTATION,
    "discriminator": Effect.ANNOTATION,
    "example": Effect.ANNOTATION,
    "externalDocs": Effect.ANNOTATION,
    "xml": Effect.ANNOTATION,
}

VOCABULARIES = {
    "core": CORE,
    "applicator": APPLICATOR,
    "unevaluated": UNEVALUATED,
    "validation": VALIDATION,
    "meta-data": META_DATA,
    "format": FORMAT,
    "content": CONTENT,
    "earlier drafts": EARLIER_DRAFTS,
    "OpenAPI 3.0": OPENAPI,
}
EFFECTS = {name: effect for known in VOCABULARIES.values() for name, effect in known.items()}

# Where the schemas inside a schema are.
DEFINITIONS = ("$defs", "definitions")
SCHEMAS = (
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
SCHEMA_LISTS = ("prefixItems", "allOf", "anyOf", "oneOf")
SCHEMA_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
# What applies to the same value as the schema that it stands in.
IN_PLACE = (
    *("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not"),
    *("if", "then", "else", "dependentSchemas", "dependencies"),
)
# Formats of texts that are enforced.
FORMATS = frozenset(
    {
        *("date", "time", "date-time", "duration", "email", "hostname"),
        *("ipv4", "ipv6", "uuid", "uri"),
    }
)
