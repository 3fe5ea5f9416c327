"""Owns finding out what a chat template can take; must not know how it is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.base.json_types import JsonObject
from app.chat.template.tools import GAPS

_MARK = "distillerprobe"
_KEY = "probekey"
_ASKED = "probeasked"
_TOLD = "probetold"


class Attempt(Protocol):
    """Renders a conversation with tools; None where the template refuses it.

    One that is only too slow must raise: a trait that a clock decides would change with the device.
    """

    def __call__(
        self, conversation: list[JsonObject], tools: list[JsonObject] | None, /
    ) -> str | None:
        """Return the prompt or None."""
        ...


@dataclass(frozen=True)
class TemplateTraits:
    """What a template can take; the defaults are what nearly every template takes.

    Attributes:
        takes_content_parts: message content may be a list of parts.
        knows_developer_role: `developer` is a role of its own.
        wants_object_arguments: tool-call arguments are objects, not JSON text.
        wants_null_content: tool calls are shown only where `content` is null.
        shows_tools: the tools that are offered are written.
        shows_calls: calls in the history are written.
        knows_system_role: a `system` message is written, and not refused.
        keeps_late_system: one that follows a question is written where it stands.
        shows_calls_beside_text: they are written where the message has text too.
        takes_text_arguments: arguments that are text are shown too.
        refuses_thinking_beside_calls: it raises on tool calls beside both content and `thinking`.
        refused_gaps: what tools must not lack, by the names of `app.chat.template.tools.GAPS`.
    """

    takes_content_parts: bool = False
    knows_developer_role: bool = False
    wants_object_arguments: bool = True
    wants_null_content: bool = False
    shows_tools: bool = True
    shows_calls: bool = True
    knows_system_role: bool = True
    takes_text_arguments: bool = True
    refuses_thinking_beside_calls: bool = False
    keeps_late_system: bool = field(default=True, compare=False)
    shows_calls_beside_text: bool = field(default=True, compare=False)
    refused_gaps: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def capabilities(self) -> dict[str, bool]:
        """The traits that llama-server tells too, by its names."""
        return {
            "supports_typed_content": self.takes_content_parts,
            "supports_object_arguments": self.wants_object_arguments,
            "supports_system_role": self.knows_system_role,
            "supports_tools": self.shows_tools,
            "supports_tool_calls": self.shows_calls,
        }


def probe(attempt: Attempt, source: str) -> TemplateTraits:
    """Return the traits of the template with this `source`; doubt gives the default."""
    calls = _tool_call_traits(attempt)
    shows_calls = _MARK in calls.written or _ASKED not in calls.written
    written = calls.written or attempt([{"role": "user", "content": _ASKED}], _PROBE_TOOLS) or ""
    return TemplateTraits(
        takes_content_parts=_takes_content_parts(attempt),
        knows_developer_role=_knows_developer_role(attempt, source),
        wants_object_arguments=calls.wants_objects,
        wants_null_content=calls.wants_null,
        shows_tools=_TOLD in written or _ASKED not in written,
        shows_calls=shows_calls,
        knows_system_role=_knows_system_role(attempt),
        keeps_late_system=_keeps_late_system(attempt),
        takes_text_arguments=calls.takes_text,
        refuses_thinking_beside_calls=_refuses_thinking_beside_calls(attempt, source),
        shows_calls_beside_text=not calls.written or _shows_calls_beside_text(attempt, calls),
        refused_gaps=_refused_gaps(attempt) if written else frozenset(),
    )


def _takes_content_parts(attempt: Attempt) -> bool:
    def turn(role: str) -> JsonObject:
        return {"role": role, "content": [{"type": "text", "text": f"{_MARK}-{role}"}]}

    turns = [turn("user"), turn("assistant"), turn("user")]
    for conversation in ([turn("system"), *turns], turns):
        text = attempt(conversation, None)
        if text is not None:
            return all(_written_plainly(text, f"{_MARK}-{m['role']}") for m in conversation)
    return False


def _written_plainly(text: str, mark: str) -> bool:
    return mark in text and f"'{mark}'" not in text and f'"{mark}"' not in text


def _knows_developer_role(attempt: Attempt, source: str) -> bool:
    if "'developer'" not in source and '"developer"' not in source:
        return False
    messages = [{"role": "developer", "content": _MARK}, {"role": "user", "content": "Hi"}]
    return _MARK in (attempt(messages, None) or "")


def _knows_system_role(attempt: Attempt) -> bool:
    asked = {"role": "user", "content": _ASKED}
    if _MARK in (attempt([{"role": "system", "content": _MARK}, asked], None) or ""):
        return True
    return _ASKED not in (attempt([asked], None) or "")


def _keeps_late_system(attempt: Attempt) -> bool:
    """Say whether instructions after a question follow it in the prompt; doubt counts as if so."""

    def turn(role: str, content: str) -> JsonObject:
        return {"role": role, "content": content}

    asked, goes_on = turn("user", _ASKED), [turn("assistant", "So"), turn("user", "And?")]
    told = [turn("system", _TOLD), asked, turn("system", _MARK), *goes_on, turn("system", _KEY)]
    written = attempt(told, None) or ""
    places = [written.find(text) for text in (_ASKED, _MARK, _KEY)]
    if -1 < places[0] < places[1] < places[2]:
        return True
    return _ASKED not in (attempt([asked, *goes_on], None) or "")


def _refuses_thinking_beside_calls(attempt: Attempt, source: str) -> bool:
    if "thinking" not in source:
        return False
    plain = _tool_conversation("So", {_KEY: _MARK})
    thoughtful = _tool_conversation("So", {_KEY: _MARK})
    thoughtful[1]["thinking"] = _MARK
    refused = attempt(thoughtful, _PROBE_TOOLS) is None
    return refused and attempt(plain, _PROBE_TOOLS) is not None


def _shows_calls_beside_text(attempt: Attempt, calls: _CallTraits) -> bool:
    """Say whether calls beside text are written; doubt, and a refusal, count as if they were."""
    arguments: JsonObject | str = {_KEY: _MARK}
    if not calls.wants_objects:
        arguments = f'{{"{_KEY}": "{_MARK}"}}'
    written = attempt(_tool_conversation("So", arguments), _PROBE_TOOLS)
    return written is None or _MARK in written or _MARK not in calls.written


def _refused_gaps(attempt: Attempt) -> frozenset[str]:
    asked = [{"role": "user", "content": _ASKED}]

    def refuses(tools: Sequence[JsonObject]) -> bool:
        return attempt(asked, list(tools)) is None

    if not refuses([tool for gap in GAPS for tool in gap.tools]):
        return frozenset()
    return frozenset(gap.name for gap in GAPS if any(refuses([tool]) for tool in gap.tools))


@dataclass(frozen=True)
class _CallTraits:
    """How a template takes tool calls, and all that it wrote of the conversations with some."""

    wants_objects: bool
    wants_null: bool
    takes_text: bool
    written: str


def _tool_call_traits(attempt: Attempt) -> _CallTraits:
    written = ""
    for content in ("", None):
        as_object = attempt(_tool_conversation(content, {_KEY: _MARK}), _PROBE_TOOLS)
        as_text = attempt(_tool_conversation(content, f'{{"{_KEY}": "{_MARK}"}}'), _PROBE_TOOLS)
        written += (as_object or "") + (as_text or "")
        object_shown = as_object is not None and _MARK in as_object
        text_shown = as_text is not None and _MARK in as_text
        if object_shown or text_shown:
            written_as_python = as_object is not None and f"'{_KEY}': '{_MARK}'" in as_object
            wants_objects = object_shown and not (written_as_python and text_shown)
            return _CallTraits(wants_objects, content is None, text_shown, written)
    return _CallTraits(True, False, True, written)


def _tool_conversation(content: str | None, arguments: JsonObject | str) -> list[JsonObject]:
    call = {
        "id": "abcdefghi",  # nine letters or digits: the only ids that Mistral's templates take
        "type": "function",
        "function": {"name": "probe", "arguments": arguments},
    }
    return [
        {"role": "user", "content": _ASKED},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": "probe", "content": "done"},
    ]


_PROBE_TOOLS: list[JsonObject] = [
    {
        "type": "function",
        "function": {
            "name": "probe",
            "description": _TOLD,
            "parameters": {
                "type": "object",
                "properties": {_KEY: {"type": "string", "description": _TOLD}},
                "required": [_KEY],
            },
        },
    }
]
