"""Owns the content blocks of an answer: which engine event opens, fills or closes one; no I/O.

One block is open at a time, and indices have no gaps. A whole answer is the sum of the events that
a stream has.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from app.api.dialects.anthropic.call_ids import shown_id
from app.api.dialects.anthropic.signatures import Signer
from app.base.json_types import JsonObject
from app.protocol import Delta, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart

_OF_DELTA = {"text": "text_delta", "thinking": "thinking_delta", "signature": "signature_delta"}
_NO_ARGUMENTS = "{}"


class AnswerBlocks:
    """The blocks of one answer, as events of a stream.

    Text of spaces alone is held back until more comes, as clients cannot send such a block back;
    so are arguments that are no JSON object, until the call ends.

    Args:
        signer: signs reasoning.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._n_begun = 0
        self._open = ""  # the type of the open block
        self._thoughts: list[str] = []
        self._held = ""
        self._has_input = False

    def feed(self, delta: Delta) -> list[JsonObject]:
        """Return the events of the next piece of the answer."""
        match delta:
            case TextDelta():
                return self._text(delta.text)
            case ReasoningDelta():
                return self._reasoning(delta.text)
            case ToolCallStart():
                block = {"id": shown_id(delta.id), "name": delta.name, "input": {}}
                return [*self.close(), self._begin("tool_use", **block)]
            case ToolCallDelta():
                return self._arguments(delta.arguments)

    def close(self) -> list[JsonObject]:
        """Return the events that close the open block; none where none is open."""
        kind, self._open = self._open, ""
        held, self._held = self._held, ""
        match kind:
            case "":
                return []
            case "thinking":
                thoughts, self._thoughts = "".join(self._thoughts), []
                last = [self._piece("signature", self._signer.sign(thoughts))]
            case "tool_use":
                last = self._last_input(held)
            case _:
                last = []
        return [*last, {"type": "content_block_stop", "index": self._n_begun - 1}]

    def _text(self, text: str) -> list[JsonObject]:
        if self._open == "text":
            return [self._piece("text", text)] if text else []
        if self._open:
            closed = self.close()
        else:
            closed, text = [], self._held + text
        if not text.strip():
            self._held = text
            return closed
        self._held = ""
        return [*closed, self._begin("text", text=""), self._piece("text", text)]

    def _reasoning(self, text: str) -> list[JsonObject]:
        if not text:
            return []
        begun: list[JsonObject] = []
        if self._open != "thinking":
            begun = [*self.close(), self._begin("thinking", thinking="", signature="")]
        self._thoughts.append(text)
        return [*begun, self._piece("thinking", text)]

    def _arguments(self, text: str) -> list[JsonObject]:
        if not self._has_input:
            text = self._held + text
            if not text.lstrip().startswith("{"):
                self._held = text
                return []
            self._held, self._has_input = "", True
        return [self._input(text)] if text else []

    def _last_input(self, held: str) -> list[JsonObject]:
        if self._has_input:
            return []
        if not held.strip():
            return [self._input(_NO_ARGUMENTS)]
        return [self._input(json.dumps({"arguments": held}, ensure_ascii=False))]

    def _begin(self, kind: str, **fields: Any) -> JsonObject:
        self._open, self._held, self._has_input = kind, "", False
        block = {"type": kind, **fields}
        self._n_begun += 1
        index = self._n_begun - 1
        return {"type": "content_block_start", "index": index, "content_block": block}

    def _piece(self, field: str, text: str) -> JsonObject:
        return self._delta({"type": _OF_DELTA[field], field: text})

    def _input(self, text: str) -> JsonObject:
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def _delta(self, delta: JsonObject) -> JsonObject:
        return {"type": "content_block_delta", "index": self._n_begun - 1, "delta": delta}


class WholeContent:
    """The sum of a stream's events: the `content` of a whole answer."""

    def __init__(self) -> None:
        self._blocks: list[JsonObject] = []
        self._pieces: list[dict[str, list[str]]] = []

    def add(self, event: JsonObject) -> None:
        """Add one event."""
        if event["type"] == "content_block_start":
            self._blocks.append(event["content_block"])
            self._pieces.append({})
        elif event["type"] == "content_block_delta":
            pieces = self._pieces[event["index"]]
            for name, text in event["delta"].items():
                if name != "type":
                    pieces.setdefault(name, []).append(text)

    def content(self) -> list[JsonObject]:
        """Return the blocks."""
        return [_filled(*pair) for pair in zip(self._blocks, self._pieces, strict=True)]


def _filled(block: JsonObject, pieces: dict[str, list[str]]) -> JsonObject:
    texts = {name: "".join(parts) for name, parts in pieces.items()}
    if "partial_json" in texts:
        return {**block, "input": _input_of(texts["partial_json"])}
    return {**block, **texts}


def _input_of(text: str) -> JsonObject:
    """Return the object that JSON text is, or is the beginning of; as clients read streams."""
    try:
        found = from_json(text, allow_partial=True, allow_inf_nan=True)
    except ValueError:
        return {"arguments": text}
    return found if isinstance(found, dict) else {"arguments": text}
