"""Owns reading a stream of Ollama's lines as its clients do, each line checked in its turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

_HEAD = ("model", "created_at", "done")
_AT_THE_END = {
    "done_reason",
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
    "cached_tokens",
}


@dataclass(slots=True)
class Stream:
    """What a client has after the last line.

    Attributes:
        last: the line that ends the stream: `done`, or an error.
    """

    text: str = ""
    thinking: str = ""
    calls: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    last: dict[str, Any] | None = None

    def take(self, line: bytes) -> None:
        """Add a line; it must be allowed where it stands."""
        assert self.last is None, "a line after the last one"
        body = json.loads(line)
        if "error" in body:
            assert set(body) == {"error"}
            assert isinstance(body["error"], str)
            self.last = body
            return
        assert all(name in body for name in _HEAD)
        assert body["created_at"].endswith("Z")
        self._add(body)
        if body["done"]:
            assert set(body) >= _AT_THE_END
            self.last = body
        else:
            assert not set(body) & _AT_THE_END

    def _add(self, body: dict[str, Any]) -> None:
        part = body.get("message") or {"content": body.get("response")}
        part = {**part, "thinking": part.get("thinking") or body.get("thinking") or ""}
        assert isinstance(part["content"], str)
        calls = part.get("tool_calls") or []
        added = [bool(part["content"]), bool(part["thinking"]), *([True] * len(calls))]
        assert sum(added) == (0 if body["done"] else 1), "a line adds one thing, the last none"
        assert all(isinstance(call["function"]["arguments"], dict) for call in calls)
        self.text += part["content"]
        self.thinking += part["thinking"]
        self.calls += calls
        self.logprobs += body.get("logprobs") or []


def read_stream(data: bytes) -> Stream:
    """Return what a whole stream says; pings may stand before the lines."""
    stream = Stream()
    *lines, rest = data.split(b"\n")
    assert rest == b"", "the last line has no end"
    for line in lines:
        stream.take(line)
    assert stream.last is not None, "the stream has no end"
    return stream
