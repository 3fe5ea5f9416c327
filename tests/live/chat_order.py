"""Owns the order of a stream of chat completions: a state machine that refuses any other."""

from __future__ import annotations

import json
from typing import Any


class ChatOrder:
    """Takes the chunks of one stream with one choice and `include_usage`."""

    def __init__(self) -> None:
        self.thoughts = ""
        self.text = ""
        self.calls: list[tuple[str, str]] = []
        self.end = ""
        self.tokens = 0
        self._id: str | None = None
        self._has_usage = False

    def take_all(self, data: bytes) -> None:
        """Take a whole stream; pings are comments and may stand anywhere."""
        *blocks, rest = data.decode().split("\n\n")
        assert rest == ""
        events = [block for block in blocks if not block.startswith(":")]
        assert events.pop() == "data: [DONE]"
        for event in events:
            self.take(json.loads(event.removeprefix("data: ")))
        assert self.end, "the stream has no end"
        assert self._has_usage

    def take(self, chunk: dict[str, Any]) -> None:
        """Take one chunk."""
        assert "error" not in chunk, chunk
        assert not self._has_usage, "a chunk after the usage"
        assert self._id in (None, chunk["id"])
        if not chunk["choices"]:
            assert self.end
            self.tokens, self._has_usage = chunk["usage"]["completion_tokens"], True
            return
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        assert not self.end, "a choice after its end"
        assert ("role" in delta) == (self._id is None), "the first chunk has the role"
        self._id = chunk["id"]
        told = [key for key in ("reasoning_content", "content", "tool_calls") if delta.get(key)]
        assert len(told) <= 1
        assert not (self.text or self.calls) or "reasoning_content" not in told
        self.thoughts += delta.get("reasoning_content") or ""
        self.text += delta.get("content") or ""
        for piece in delta.get("tool_calls") or ():
            self._take_call(piece)
        self.end = choice["finish_reason"] or ""

    def _take_call(self, piece: dict[str, Any]) -> None:
        function = piece["function"]
        if piece["index"] == len(self.calls):
            assert piece["id"]
            self.calls.append((function["name"], function.get("arguments") or ""))
            return
        assert piece["index"] == len(self.calls) - 1, "only the last call goes on"
        assert not piece.get("id")
        assert not function.get("name")
        name, arguments = self.calls[-1]
        self.calls[-1] = (name, arguments + function["arguments"])
