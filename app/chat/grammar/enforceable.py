"""Owns bringing a JSON schema into a form that the grammar's compiler enforces as it is meant.

Pure; `keywords` says what becomes of which keyword. Whatever the result admits, the schema allows:
what cannot be enforced is refused where the schema is strict, and left out where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.base.json_types import JsonObject
from app.chat.grammar.alternatives import exclude_each_other
from app.chat.grammar.keywords import (
    DEFINITIONS,
    EFFECTS,
    FORMATS,
    IN_PLACE,
    SCHEMA_LISTS,
    SCHEMA_MAPS,
    SCHEMAS,
    Effect,
)
from app.chat.grammar.numbers import BOUNDS, exact_bounds, is_exact
from app.chat.grammar.object_sizes import SIZES, sized
from app.chat.grammar.string_limits import (
    exact_format,
    is_misread,
    portable_pattern,
    whole_text_pattern,
)

_MAX_DEPTH = 200
_MAX_TOLD = 4
_MAX_COUNT = 10**6  # of characters or items: an answer has fewer
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_UNENFORCED = {*_UNEVALUATED, *(key for key, e in EFFECTS.items() if e is Effect.UNENFORCED)}
_TEXTS = ("pattern", "format")
_NO_PATTERN = "no look-around, references or set operations"
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", *SIZES)
_VALUES = ("const", "enum", "multipleOf", *BOUNDS, *_COUNTS)
_Path = tuple[str, ...]


class Enforceable(NamedTuple):
    """A schema as the compiler gets it.

    Attributes:
        schema: the schema.
        refusal: why it cannot be enforced, with the keyword and its place; empty if it can.
        mixes_keys: an object has keys of its own choice beside those that the schema says
            something about, so that none may have two spellings.
    """

    schema: JsonObject
    refusal: str
    mixes_keys: bool


def enforceable(schema: JsonObject, *, is_strict: bool) -> Enforceable:
    """Return a schema of the same meaning, of which the compiler enforces everything.

    Args:
        schema: a client's.
        is_strict: what cannot be enforced is a `refusal`; otherwise it is left out.
    """
    writer = _Writer(schema, is_strict)
    written = writer.write(schema, (), (), 0)
    return Enforceable(written, writer.refusal(), writer.mixes_keys)


class _Refusal(NamedTuple):
    region: _Path
    text: str


@dataclass
class _Writer:
    """Writes one schema; a region is what stands within one definition, or outside of all."""

    root: JsonObject
    is_strict: bool
    mixes_keys: bool = False
    _refusals: list[_Refusal] = field(default_factory=list)
    _regions: dict[_Path, None] = field(default_factory=lambda: {(): None})
    _references: dict[_Path, list[Any]] = field(default_factory=dict)

    def refusal(self) -> str:
        """Return what of the parts that are in use cannot be enforced."""
        used = self._used()
        found = [refusal.text for refusal in self._refusals if refusal.region in used]
        return f"cannot be enforced: {', '.join(found[:_MAX_TOLD])}" if found else ""

    def _used(self) -> set[_Path]:
        """Return the regions that references lead to from outside of all definitions."""
        used: set[_Path] = set()
        found: list[_Path] = [()]
        while found:
            region = found.pop()
            if region not in used:
                used.add(region)
                for reference in self._references.get(region, []):
                    found += self._regions_of(reference)
        return used

    def _regions_of(self, reference: Any) -> Iterable[_Path]:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return self._regions
        parts = reference[2:].split("/")
        path = tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
        prefixes = (path[:n] for n in range(len(path), -1, -1))
        return [next(prefix for prefix in prefixes if prefix in self._regions)]

    def write(self, schema: Any, path: _Path, region: _Path, depth: int) -> Any:
        """Return one schema as the compiler gets it, with all schemas in it."""
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return schema
        if "$ref" in schema:
            self._references.setdefault(region, []).append(schema["$ref"])
        result: JsonObject = schema
        if not result.keys().isdisjoint(_SIMPLIFIED):
            result = _without_what_says_nothing(result)
        for keys, step in (
            (_UNENFORCED, self._keywords),
            (_VALUES, self._values),
            (_TEXTS, self._texts),
            (SIZES, self._sizes),
            (("oneOf",), self._one_of),
        ):
            if not result.keys().isdisjoint(keys):
                result = step(result, path, region)
        named = any(result.get(key) for key in ("properties", "patternProperties", "required"))
        if named and result.get("additionalProperties", True) is not False:
            self.mixes_keys = True
        return {
            key: self._inner(key, value, path, region, depth + 1) for key, value in result.items()
        }

    def _inner(self, key: str, value: Any, path: _Path, region: _Path, depth: int) -> Any:
        here = (*path, key)
        if EFFECTS.get(key) is Effect.UNENFORCED:
            return value
        if key in DEFINITIONS and isinstance(value, dict):
            inner = {name: (*here, name) for name in value}
            self._regions.update(dict.fromkeys(inner.values()))
            return {
                name: self.write(part, inner[name], inner[name], depth)
                for name, part in value.items()
            }
        if key in SCHEMA_MAPS and isinstance(value, dict):
            return {
                self._name(key, name, value, here, region): self.write(
                    part, (*here, name), region, depth
                )
                for name, part in value.items()
            }
        if key in SCHEMA_LISTS or (key in SCHEMAS and isinstance(value, list)):
            parts = value if isinstance(value, list) else []
            written = [
                self.write(part, (*here, str(at)), region, depth) for at, part in enumerate(parts)
            ]
            return written if isinstance(value, list) else value
        return self.write(value, here, region, depth) if key in SCHEMAS else value

    def _name(self, key: str, name: str, among: JsonObject, path: _Path, region: _Path) -> str:
        if key != "patternProperties":
            return name
        if is_misread(name):
            self._refuse(name, path, region)
        portable = portable_pattern(name)
        return name if portable in among else portable

    def _refuse(self, keyword: str, path: _Path, region: _Path, why: str = "") -> None:
        pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in (*path, keyword))
        text = f"{keyword} at #/{pointer}" + (f" ({why})" if why else "")
        if self.is_strict:
            self._refusals.append(_Refusal(region, text))

    def _keywords(self, schema: JsonObject, path: _Path, region: _Path) -> JsonObject:
        unenforced = [key for key in schema if EFFECTS.get(key) is Effect.UNENFORCED]
        unenforced += [
            key for key in ("unevaluatedItems", "unevaluatedProperties") if key in schema
        ]
        for key in unenforced:
            self._refuse(key, path, region)
        return _without(schema, () if self.is_strict else unenforced)

    def _values(self, schema: JsonObject, path: _Path, region: _Path) -> JsonObject:
        result, unsaid = exact_bounds(_with_whole_counts(schema))
        inexact = [key for key in ("const", "enum") if not is_exact(result.get(key))]
        for key in inexact:
            self._refuse(key, path, region, "numbers beyond 2^53 are not exact")
        if unsaid:
            self._refuse(unsaid, path, region, "the number is too large")
        return _without(result, () if self.is_strict else (*inexact, unsaid))

    def _texts(self, schema: JsonObject, path: _Path, region: _Path) -> JsonObject:
        result, unsaid = dict(schema), []
        pattern, wanted = result.get("pattern"), result.get("format")
        if isinstance(pattern, str):
            result["pattern"] = portable_pattern(pattern)
            is_unsaid = whole_text_pattern(pattern) is None
            if is_misread(pattern) or (is_unsaid and not self.is_strict):
                unsaid.append("pattern")
                self._refuse(
                    "pattern", path, region, "no look-around, references or set operations"
                )
        if isinstance(wanted, str):
            if wanted not in FORMATS:
                unsaid.append("format")
                self._refuse("format", path, region, f"{wanted!r} is not known")
            elif exact := exact_format(wanted):
                del result["format"]
                result = _also(result, {"pattern": exact})
        return _without(result, () if self.is_strict else unsaid)

    def _sizes(self, schema: JsonObject, path: _Path, region: _Path) -> JsonObject:
        result, unsaid = sized(schema)
        while unsaid:
            why = "of objects whose names vary"
            self._refuse(unsaid, path, region, why)
            if self.is_strict:
                return _without(result, SIZES)
            result, unsaid = sized(_without(result, [unsaid]))
        return result

    def _one_of(self, schema: JsonObject, path: _Path, region: _Path) -> JsonObject:
        del path, region  # the compiler knows others that exclude each other, and refuses the rest
        options = schema.get("oneOf")
        if not exclude_each_other(options, self.root):
            return schema
        return _also(_without(schema, ["oneOf"]), {"anyOf": options})


def _also(schema: JsonObject, more: JsonObject) -> JsonObject:
    """Return a schema that says more, beside what it says with the same keywords."""
    if not schema.keys() & more.keys():
        return {**schema, **more}
    parts = schema.get("allOf", [])
    return {**schema, "allOf": [*parts, more]} if isinstance(parts, list) else schema


def _without(schema: JsonObject, keys: Iterable[str]) -> JsonObject:
    left_out = set(keys)
    return {key: value for key, value in schema.items() if key not in left_out}


def _with_whole_counts(schema: JsonObject) -> JsonObject:
    """Return a schema with counts that the compiler takes: 2.0 is 2, and millions are no limit."""
    result = dict(schema)
    for key in _COUNTS:
        value = result.get(key)
        if isinstance(value, float) and value.is_integer():
            result[key] = value = int(value)
        if isinstance(value, int) and value > _MAX_COUNT and key.startswith("max"):
            del result[key]
    multiple = result.get("multipleOf")
    if isinstance(multiple, int | float) and multiple < 0:
        result["multipleOf"] = 0  # which the compiler refuses
    return result


# ---------------------------------------------------------------- what says nothing


def _is_true(value: Any) -> bool:
    return value is True or value == {}


def _all_true(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_true, value.values()))


_SAYS_NOTHING: dict[str, Callable[[Any, JsonObject], bool]] = {
    "uniqueItems": lambda value, _: value is False,
    "not": lambda value, _: value is False,
    "propertyNames": lambda value, _: _is_true(value) or value == {"type": "string"},
    "dependentSchemas": lambda value, _: _all_true(value),
    "dependentRequired": lambda value, schema: _are_required(value, schema),
    "dependencies": lambda value, schema: _all_true(value) or _are_required(value, schema),
    "unevaluatedItems": lambda value, _: _is_true(value),
    "unevaluatedProperties": lambda value, schema: (
        _is_true(value) or "additionalProperties" in schema
    ),
    "if": lambda _, schema: not schema.keys() & {"then", "else"},
    "then": lambda _, schema: "if" not in schema,
    "else": lambda _, schema: "if" not in schema,
    "minContains": lambda _, schema: "contains" not in schema,
    "maxContains": lambda _, schema: "contains" not in schema,
    "contains": lambda _, schema: schema.get("minContains") == 0 and "maxContains" not in schema,
    "$recursiveAnchor": lambda *_: True,
}


_SIMPLIFIED = {*_SAYS_NOTHING, "$dynamicAnchor"}


def _are_required(value: Any, schema: JsonObject) -> bool:
    required = schema.get("required", [])
    if not isinstance(value, dict) or not isinstance(required, list):
        return False
    return all(
        isinstance(names, list) and all(n in required for n in names) for names in value.values()
    )


def _without_what_says_nothing(schema: JsonObject) -> JsonObject:
    """Return a schema without keywords that allow every value, and others in simpler words."""
    result = schema
    for _ in range(2):  # `minContains` says nothing once `contains` is gone
        said = result
        result = {key: value for key, value in said.items() if not _says_nothing(key, value, said)}
    if "$dynamicAnchor" in result:
        anchor = result.pop("$dynamicAnchor")
        result.setdefault("$anchor", anchor)
    if not result.keys() & set(IN_PLACE):
        for key, plain in (
            ("unevaluatedProperties", "additionalProperties"),
            ("unevaluatedItems", "items"),
        ):
            if key in result and plain not in result and "contains" not in result:
                result[plain] = result.pop(key)
    return result


def _says_nothing(key: str, value: Any, schema: JsonObject) -> bool:
    says_nothing = _SAYS_NOTHING.get(key)
    return says_nothing is not None and says_nothing(value, schema)
