"""Owns what structured answers are measured with: schemas, tools and an answer.

Random weights choose at random, so everything that is free to choose is short and bounded: a string
without an end would be a measurement without one.
"""

from __future__ import annotations

import json
from typing import Any

JsonObject = dict[str, Any]
_SHORT_WORD = {"type": "string", "pattern": "^[a-z]{3,6}$"}

# Nearly everything follows from it: names, constants, and long values with few beginnings.
OBJECT_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "reporting_device": {"const": "distiller in the hall"},
        "measured_temperature": {"type": "integer", "minimum": 0, "maximum": 99},
        "temperature_unit": {"const": "degrees celsius"},
        "ventilation_state": {"enum": ["running slowly", "standing still", "under repair"]},
        "responsible_person": _SHORT_WORD,
        "recommended_action": {
            "enum": ["nothing has to be done", "please close the window", "call the technician"]
        },
        "end_of_report": {"const": "no further remarks"},
    },
    "required": [
        "reporting_device",
        "measured_temperature",
        "temperature_unit",
        "ventilation_state",
        "responsible_person",
        "recommended_action",
        "end_of_report",
    ],
    "additionalProperties": False,
}

# The states that constrained answers consist of: strings, enums, numbers, names to choose from.
PERSON_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "biography": {"type": "string", "maxLength": 400},
        "born": {"type": "string", "format": "date"},
        "email": {"type": "string", "pattern": "^[a-z.]+@[a-z]+\\.(com|org|net)$"},
        "height_m": {"type": "number"},
        "visits": {"type": "integer", "minimum": 0},
        "is_member": {"type": "boolean"},
        "role": {"enum": ["visitor", "volunteer", "administrator", "guest of honour"]},
        "nickname": {"type": "string"},
        "notes": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "scores": {"type": "array", "items": {"type": "number"}},
        "address": {
            "type": "object",
            "properties": {
                "street": {"type": "string"},
                "city": {"type": "string"},
                "country": {"enum": ["Denmark", "Finland", "Norway", "Sweden"]},
            },
            "required": ["street", "city", "country"],
            "additionalProperties": False,
        },
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 24}, "maxItems": 5},
    },
    "required": ["name", "biography", "born", "scores", "address"],
    "additionalProperties": False,
}
PERSON = json.dumps(
    {
        "name": "Ingrid Halvorsen",
        "biography": "She was the first to measure the rain on the island, every day at seven, and "
        'wrote it all into "the long book", which is in the museum now.',
        "born": "1931-08-14",
        "email": "ingrid.halvorsen@island.org",
        "height_m": 1.68,
        "visits": 2047,
        "is_member": True,
        "role": "guest of honour",
        "notes": "Likes to be asked about storms; please speak slowly.",
        "scores": [12.5, 7, 0.031, 18.75],
        "address": {"street": "Harbour Lane 12", "city": "Svolvaer", "country": "Norway"},
        "tags": ["weather", "history", "harbour"],
    }
)


def _tool(name: str, description: str, **properties: JsonObject) -> JsonObject:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


_ROOM = {"enum": ["kitchen", "living room", "bedroom", "bathroom", "hall", "workshop"]}
_PERCENT = {"type": "integer", "minimum": 0, "maximum": 100}
_CLOCK = {"type": "string", "pattern": "^(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]$"}
_WEEKDAYS = {
    "type": "array",
    "items": {"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
    "minItems": 1,
    "maxItems": 3,
}

TOOLS = [
    _tool(
        "set_light",
        "Set brightness and colour of the lights of a room.",
        room=_ROOM,
        brightness_percent=_PERCENT,
        colour={"enum": ["warm white", "cold white", "red", "green", "blue"]},
    ),
    _tool(
        "set_heating",
        "Set the temperature of a room, now or from a time on.",
        room=_ROOM,
        temperature_celsius={"type": "integer", "minimum": 5, "maximum": 30},
        starting_at=_CLOCK,
    ),
    _tool(
        "set_alarm",
        "Ring at a time on some days of the week.",
        ring_at=_CLOCK,
        on_weekdays=_WEEKDAYS,
        label=_SHORT_WORD,
    ),
    _tool(
        "play_music",
        "Play music of a kind in a room.",
        room=_ROOM,
        genre={"enum": ["classical", "jazz", "folk", "electronic"]},
        volume_percent=_PERCENT,
        repeat={"type": "boolean"},
    ),
    _tool(
        "add_shopping_item",
        "Put something on the shopping list.",
        item=_SHORT_WORD,
        quantity={"type": "integer", "minimum": 1, "maximum": 20},
        unit={"enum": ["piece", "kilogram", "litre", "package"]},
        is_urgent={"type": "boolean"},
    ),
]


def response_format(schema: JsonObject) -> JsonObject:
    """Return the field of a chat request that asks for JSON that fits a schema."""
    return {"type": "json_schema", "json_schema": {"name": "report", "schema": schema}}


def whitespace_share(text: str) -> float:
    """Return which share of a JSON text's characters is whitespace between its parts."""
    try:
        value = json.loads(text)
    except ValueError:
        return 0.0
    bare = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return max(0, len(text) - len(bare)) / len(text)
