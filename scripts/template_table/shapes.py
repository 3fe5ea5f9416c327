"""Owns the kinds of conversations that a chat template may know; must not know templates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Rendering:
    """A conversation as a client sends it, and how its prompt is to be written."""

    messages: list[JsonObject]
    tools: list[JsonObject] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    template_kwargs: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A kind of conversation.

    Args:
        name: heading of its column.
        meaning: what the column says, as a half sentence.
        ways: renderings of which a template has to know one.
        shown: texts that have to be in the prompt.
        unlike: a rendering whose prompt has to be another one.
    """

    name: str
    meaning: str
    ways: tuple[Rendering, ...]
    shown: tuple[str, ...] = ()
    unlike: Rendering | None = None


WEATHER: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "street": {"type": "string", "description": "Where in the city"},
                "days": {"type": "integer", "description": "Days from now"},
            },
            "required": ["city"],
        },
    },
}
TIME: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Time of a zone",
        "parameters": {
            "type": "object",
            "properties": {
                "zone": {"type": "string", "description": "Name of the zone"},
                "style": {"type": "string", "description": "How to write it", "enum": ["a", "b"]},
            },
            "required": ["zone"],
        },
    },
}
TOOLS = [WEATHER, TIME]
ARGUMENTS: JsonObject = {"city": "Oslo", "street": "Ålgata <2>", "days": 2}


def _user(content: Any = "Is it <warm> & 'dry'?") -> JsonObject:
    return {"role": "user", "content": content}


def _assistant(content: str | None, **more: Any) -> JsonObject:
    return {"role": "assistant", "content": content, **more}


def _call(arguments: Any, number: int = 1, name: str = "get_weather") -> JsonObject:
    return {
        "id": f"call0000{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _result(content: Any = "12 degrees", number: int = 1) -> JsonObject:
    return {"role": "tool", "tool_call_id": f"call0000{number}", "content": content}


def _parts(*texts: str) -> list[JsonObject]:
    return [{"type": "text", "text": text} for text in texts]


def _called(arguments: Any, **more: Any) -> Rendering:
    calling = _assistant(None, tool_calls=[_call(arguments)], **more)
    return Rendering([_user(), calling, _result()], TOOLS)


_SYSTEM: JsonObject = {"role": "system", "content": "Be <brief>."}
_TURNS = [_user(), _assistant("It is."), _user("And tomorrow?")]
_TEXT = json.dumps(ARGUMENTS, ensure_ascii=False)
_BOTH = _assistant("Both:", tool_calls=[_call(_TEXT), _call("{}", 2, "get_time")])
_REASON = "Warm means mild."

SHAPES = (
    Shape(
        "system",
        "a system message and a question",
        (Rendering([_SYSTEM, _user()]),),
        ("Be <brief>.", "Is it <warm>"),
    ),
    Shape(
        "developer",
        "a developer message in its place, shown as one or as a system message",
        (Rendering([{"role": "developer", "content": "Be brief."}, _user()]),),
        ("Be brief.",),
    ),
    Shape("turns", "several turns", (Rendering(_TURNS),), ("It is.", "And tomorrow?")),
    Shape(
        "tools",
        "tools offered",
        (Rendering([_user()], TOOLS), Rendering([_SYSTEM, _user()], TOOLS)),
        ("get_weather", "Weather of a city", "get_time"),
    ),
    Shape("call", "a call with arguments as JSON text", (_called(_TEXT),), ("Oslo", "get_weather")),
    Shape("call {}", "one with arguments as an object", (_called(ARGUMENTS),), ("Oslo",)),
    Shape(
        "calls",
        "two calls at once, beside text",
        (
            Rendering(
                [_user(), _BOTH, _result(), _result("noon", 2), _assistant("Fine."), _user()],
                TOOLS,
            ),
            Rendering([_user(), _BOTH, _result(), _result("noon", 2)], TOOLS),
        ),
        ("Oslo", "get_time", "12 degrees", "noon"),
    ),
    Shape("result", "what a tool returned", (_called(_TEXT),), ("12 degrees",)),
    Shape(
        "parts",
        "content in parts",
        (
            Rendering(
                [{"role": "system", "content": _parts("Be brief.")}, _user(_parts("a1", "b2"))]
            ),
            Rendering([_user(_parts("a1", "b2")), _assistant("c3"), _user(_parts("d4"))]),
        ),
        ("a1", "b2"),
    ),
    Shape(
        "reasoning",
        "`reasoning_content` of the turn before, some only where they are asked to think",
        (
            _called(_TEXT, reasoning_content=_REASON),
            Rendering(
                [_user(), _assistant("It is.", reasoning_content=_REASON)],
                add_generation_prompt=False,
            ),
            Rendering(
                [_user(), _assistant("It is.", reasoning_content=_REASON), _user()],
                template_kwargs={"enable_thinking": True, "thinking": True},
            ),
            Rendering(
                [_user(), _assistant("It is.", reasoning_content=_REASON)],
                add_generation_prompt=False,
                template_kwargs={"enable_thinking": True, "thinking": True},
            ),
        ),
        (_REASON,),
    ),
    Shape(
        "opening",
        "the opening of an answer, only where it is asked for",
        (Rendering(_TURNS),),
        unlike=Rendering(_TURNS, add_generation_prompt=False),
    ),
    Shape(
        "continued",
        "a prompt that ends inside the last message",
        (
            Rendering(
                [_user(), _assistant("It ")],
                add_generation_prompt=False,
                continue_final_message=True,
            ),
        ),
    ),
    Shape(
        "thinking",
        "`enable_thinking` makes a difference",
        (Rendering(_TURNS, template_kwargs={"enable_thinking": False}),),
        unlike=Rendering(_TURNS, template_kwargs={"enable_thinking": True}),
    ),
)
