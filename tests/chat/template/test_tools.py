"""No template refuses tools for lack of a field that OpenAI makes optional.

Tests `app.chat.template.tool_schemas` too.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.messages import normalise
from app.chat.template.tools import GAPS, Gap, filled, without_nulls, written_with
from app.chat.tools_as_text import format_for, presented
from app.errors import TemplateRefused, TemplateTooSlow

JsonObject = dict[str, Any]

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))
published = pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
ASKED: list[JsonObject] = [{"role": "user", "content": "Hi"}]
TEXT: JsonObject = {"type": "string", "description": "Which."}


def tool(**function: Any) -> JsonObject:
    return {"type": "function", "function": {"name": "set_led", **function}}


def taking(schema: Any, **parameters: Any) -> JsonObject:
    properties = {"led": schema}
    return tool(
        description="Sets one.",
        parameters={"type": "object", "properties": properties, "required": ["led"], **parameters},
    )


FULL = taking(TEXT)
FUNCTIONS: list[JsonObject] = [
    {},
    {"description": None, "parameters": None, "strict": None},
    {"description": ""},
    {"description": "Sets one."},
    {"parameters": {"type": "object", "properties": {"led": TEXT}, "required": ["led"]}},
    *(
        {"description": "Sets one.", "parameters": parameters}
        for parameters in (
            None,
            {},
            {"type": "object"},
            {"type": "object", "properties": None, "required": None},
            {"type": "object", "properties": {}},
            {"properties": {"led": {"type": "string"}}},
            {"type": "object", "properties": {"led": TEXT}},
            {"type": "object", "properties": {"led": TEXT}, "required": None},
            {"type": "object", "properties": {"led": TEXT}, "required": []},
            {"type": "object", "additionalProperties": True},
            {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}},
            {"type": "object", "anyOf": [{"required": ["led"]}]},
            {"$ref": "#/$defs/led", "$defs": {"led": {"type": "object", "properties": {}}}},
        )
    ),
    {
        "description": "Sets one.",
        "strict": True,
        "parameters": {"type": "object", "properties": {"led": {}}, "additionalProperties": False},
    },
]
SCHEMAS: list[Any] = [
    *(None, True, False, {}),
    {"description": "Which."},
    {"type": "string"},
    {"type": "null"},
    {"type": "string", "description": None, "enum": None, "default": None, "format": None},
    {"type": "string", "description": 5},
    {"type": "string", "enum": []},
    {"type": None, "description": "Which."},
    *({"type": kinds} for kinds in ([], ["null"], ["string"], ["string", "null"])),
    {"type": ["null", "string", "integer", "array"], "items": {"type": ["string", "null"]}},
    {"type": ["string", "null"], "enum": ["a", None], "default": None},
    *({"enum": values} for values in (["a", "b"], ["a", 1, None, True], [1.5], [None])),
    {"const": 1},
    {"type": "integer", "enum": [1, 2], "default": 1, "minimum": 0, "description": "Which."},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Which."},
    {"anyOf": [{"$ref": "#/$defs/a"}, {}, True, None, {"type": ["integer", "null"]}]},
    {"oneOf": [{"type": "array"}, {"type": "object"}]},
    {"allOf": [{"$ref": "#/$defs/a"}]},
    {"$ref": "#/$defs/a"},
    *({"type": "array", "items": items} for items in (None, True, {}, {"type": "array"})),
    {"type": "array"},
    {"type": "array", "prefixItems": [{"type": "string"}, True]},
    {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    {"type": "array", "items": {"type": "object", "properties": {"a": {}, "b": True}}},
    *({"type": "object", "properties": inner} for inner in (None, {}, {"a": None, "b": True})),
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}},
    {"type": "object", "properties": {"a": TEXT}, "required": None},
    {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    {"type": "object", "additionalProperties": False, "patternProperties": {"^a": {}}},
    {"properties": {"items": {"type": "string"}, "properties": {}, "type": TEXT}},
]
TOOLS = [
    *(tool(**function) for function in FUNCTIONS),
    *(taking(schema, **{"$defs": {"a": {"type": "object"}}}) for schema in SCHEMAS),
    {"function": {"name": "set_led"}},
    {**FULL, "cache_control": {"type": "ephemeral"}},
]


@functools.cache
def published_template(path: Path) -> ChatTemplate:
    return ChatTemplate(path.read_text(), bos_token="<s>", eos_token="</s>")


def lists(every: int = 1) -> Iterator[list[JsonObject]]:
    """Yield some of the tools, each by itself, and all of them together."""
    yield from ([one] for one in TOOLS[::every])
    named = [
        {**one, "function": {**one["function"], "name": f"set_led_{at}"}}
        for at, one in enumerate(TOOLS)
    ]
    yield named


def prompt(template: ChatTemplate, tools: list[JsonObject]) -> str:
    traits = template.traits
    known = format_for(template.source, traits)
    shown, offered = presented(normalise(ASKED, traits), tools, known, traits)

    def write(tools: list[JsonObject] | None) -> str:
        return template.render(shown, tools=tools, add_generation_prompt=True, template_kwargs={})

    return written_with(write, offered, traits.refused_gaps)


@published
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_published_template_takes_every_tool_that_openai_takes(path: Path) -> None:
    template = published_template(path)
    before = json.dumps(TOOLS)
    for tools in lists(1 if template.traits.refused_gaps else 20):
        text = prompt(template, tools)
        assert all(one["function"]["name"] in text for one in tools), tools
    assert json.dumps(TOOLS) == before, "the client's tools are left alone"
    assert filled([FULL], template.traits.refused_gaps) == [FULL], "what lacks nothing stays so"


KINDS = ["string", "integer", "number", "boolean", "array", "object", "null"]


def odd_schema(chance: random.Random, depth: int = 2) -> Any:
    """Return a schema of any keywords, fit together or not."""
    inner = [odd_schema(chance, depth - 1) for _ in range(3)] if depth else [{}, True, None]
    fields = {
        "type": chance.choice([*KINDS, chance.sample(KINDS, 2)]),
        "description": chance.choice(["x", "", None]),
        "enum": chance.sample(["a", "b", 1, 2.5, True, None], 3),
        "default": chance.choice(["a", 1, None, [], {"a": 1}]),
        "items": inner[0],
        "properties": {"a": inner[1], "items": inner[2]},
        "required": chance.choice([["a"], [], None]),
        "additionalProperties": chance.choice([True, False, inner[0]]),
        "$ref": "#/$defs/a",
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), inner),
    }
    rare = ("$ref", "anyOf", "oneOf", "allOf", "prefixItems", "enum", "default")
    kept = {key: fields[key] for key in fields if chance.random() < (0.1 if key in rare else 0.4)}
    return chance.choice([*[kept] * 9, chance.choice([True, None, {}])])


@published
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_published_template_takes_schemas_of_any_keywords(path: Path) -> None:
    template = published_template(path)
    traits, chance = template.traits, random.Random(7)
    for _ in range(40 if traits.refused_gaps else 3):
        tools = [taking(odd_schema(chance), **{"$defs": {"a": {}}})]
        assert "set_led" in prompt(template, tools)


def test_tools_that_are_refused_are_shown_by_what_a_model_has_to_know() -> None:
    seen: list[Any] = []

    def write(tools: list[JsonObject] | None) -> str:
        seen.append(tools)
        if len(seen) == 1:
            raise TemplateRefused("no")
        return "written"

    odd = {"oneOf": [{"type": "array", "items": {"const": 1}}], "description": ["no text"]}
    union = {"type": ["null", "object"], "properties": {"a": {"enum": ["b", 1]}}, "required": [1]}
    given = tool(parameters={"properties": {"odd": odd, "union": union}, "required": ["odd"]})
    assert written_with(write, [given]) == "written"
    a = {"type": "string", "description": "", "enum": ["b"]}
    inner = {"properties": {"a": a}, "required": [], "additionalProperties": {}}
    properties = {
        "odd": {
            "type": "array",
            "description": "",
            "items": {"type": "integer", "description": ""},
        },
        "union": {"type": "object", "description": "", **inner},
    }
    parameters = {"type": "object", "properties": properties, "required": ["odd"]}
    assert seen == [[given], [tool(description="", parameters=parameters)]]


@pytest.mark.parametrize(
    ("error", "tools"),
    [
        (TemplateRefused("first"), [FULL]),
        (TemplateRefused("first"), None),
        (TemplateTooSlow("first"), [FULL]),
    ],
)
def test_what_is_refused_for_another_reason_is_refused_with_it(
    error: TemplateRefused, tools: list[JsonObject] | None
) -> None:
    errors = iter([error, TemplateRefused("second")])

    def write(tools: list[JsonObject] | None) -> str:
        raise next(errors)

    with pytest.raises(TemplateRefused, match="first"):
        written_with(write, tools)


NEEDY = {
    "description": "{{ 'a' + f.description }}",
    "parameters": "{{ f.parameters | tojson }}",
    "properties": "{% for name in f.parameters.properties %}{% endfor %}"
    "{{ f.parameters.properties | tojson if f.parameters is defined }}",
    "required": "{{ f.parameters.required | tojson if f.parameters is defined }}",
}
EACH = "{% for p in (f.parameters or {'properties': {}}).properties.values() %}WHAT{% endfor %}"
NEEDY_OF_SCHEMAS = {
    "descriptions of parameters": "{{ 'a' + p.description }}",
    "a type": "{{ p.type | tojson }}",
    "one type": "{{ 'a' + p.type if p.type }}",
    "one option": "{% if p.anyOf or p.oneOf or p.allOf or p['$ref'] %}"
    "{{ raise_exception('') }}{% endif %}",
    "no null": "{{ raise_exception('') if p.type == 'null' or 'null' in (p.type or '') }}",
    "items": "{{ p['items'] | tojson if p.type == 'array' }}",
    "properties of objects": "{{ p.properties | tojson if p.type == 'object' }}",
    "other properties of objects": "{{ p.additionalProperties | tojson if p.type == 'object' }}",
    "schemas that are objects": "{{ raise_exception('') if p is boolean }}",
    "defaults that are text": "{{ 'a' + p.default if p.default is defined and p.enum }}",
    "descriptions that are text": "{{ 'a' + (p.description or '') }}",
}


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_what_a_template_cannot_do_without_is_filled_in(gap: Gap) -> None:
    inner = NEEDY.get(gap.name) or EACH.replace("WHAT", NEEDY_OF_SCHEMAS.get(gap.name, ""))
    source = (
        "{% for t in tools or [] %}{% set f = t.function %}{{ f.name }} {{ f | tojson }}"
        + inner
        + "{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}{# <tool_call> #}"
    )
    template = ChatTemplate(source, bos_token="", eos_token="")
    assert gap.name in template.traits.refused_gaps
    for tools in lists():
        assert tools[0]["function"]["name"] in prompt(template, tools)


def test_a_template_that_needs_nothing_sees_the_tools_as_they_are() -> None:
    template = ChatTemplate(CHATML, bos_token="", eos_token="")
    bare = tool()
    assert not template.traits.refused_gaps
    assert json.dumps(bare) in prompt(template, [bare])


def test_null_fields_are_left_out_and_null_values_stay() -> None:
    schema = {"type": ["string", "null"], "description": None, "default": None, "enum": ["a", None]}
    given = taking(schema, title=None)
    found = without_nulls([{"function": {**given["function"], "strict": None}}])
    kept = {"type": ["string", "null"], "default": None, "enum": ["a", None]}
    assert found == [taking(kept)]


def test_a_property_named_like_a_keyword_is_a_property() -> None:
    schema = {"type": "object", "properties": {"default": None, "enum": {"type": None}}}
    (found,) = without_nulls([tool(parameters=schema)])
    inner = found["function"]["parameters"]["properties"]
    assert inner == {"default": {}, "enum": {}}


def test_a_schema_nested_beyond_all_limits_is_left_alone() -> None:
    schema: JsonObject = {}
    for _ in range(500):
        schema = {"type": "array", "items": schema}
    names = [gap.name for gap in GAPS]
    assert filled(without_nulls([taking(schema)]), names)[0]["function"]["name"] == "set_led"
