"""Owns the JSON objects of Ollama's answers: parts, log probabilities, the end; no I/O."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.protocol import Finished, TokenChance, TokenLogprob

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """What a line adds to the answer."""

    text: str = ""
    thinking: str = ""
    calls: Sequence[dict[str, Any]] = ()


PartBody = Callable[[Part], dict[str, Any]]
"""Returns the fields of a line that a part becomes."""


def chat_body(part: Part) -> dict[str, Any]:
    """Return a part of an answer of `/api/chat`."""
    message: dict[str, Any] = {"role": "assistant", "content": part.text}
    if part.thinking:
        message["thinking"] = part.thinking
    if part.calls:
        message["tool_calls"] = list(part.calls)
    return {"message": message}


def generate_body(part: Part) -> dict[str, Any]:
    """Return a part of an answer of `/api/generate`, which has no tools."""
    thinking = {"thinking": part.thinking} if part.thinking else {}
    return {"response": part.text, **thinking}


def head_body(model: str) -> dict[str, Any]:
    """Return what every line begins with."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return {"model": model, "created_at": f"{now.isoformat(timespec='microseconds')}Z"}


def call_body(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any] | None:
    """Return a tool call with its arguments as an object; None where they were cut off."""
    text = arguments.strip() or "{}"
    try:
        is_object = isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not is_object:
        return None
    on_one_line = msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    function = {"index": index, "name": name, "arguments": on_one_line}
    return {"id": call_id, "function": function}


def logprobs_body(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return the `logprobs` field; nothing where there are none."""
    if not tokens:
        return {}
    found = [{**_chance_body(token), "top_logprobs": _chances(token.top)} for token in tokens]
    return {"logprobs": found}


def _chances(chances: Sequence[TokenChance]) -> list[dict[str, Any]]:
    return [_chance_body(chance) for chance in chances]


def _chance_body(chance: TokenChance) -> dict[str, Any]:
    return {
        "token": chance.piece.decode("utf-8", "replace"),
        "logprob": chance.logprob,
        "bytes": list(chance.piece),
    }


def end_body(finished: Finished, *, total_ns: int, load_ns: int) -> dict[str, Any]:
    """Return the fields of the last line: why the answer ended, counts, and times in ns.

    An answer that calls tools has ended by itself: "stop". `cached_tokens` are those of the prompt
    that were cached; Ollama does not tell them.
    """
    usage, timings = finished.usage, finished.timings
    return {
        "done": True,
        "done_reason": "length" if finished.reason == "length" else "stop",
        "total_duration": total_ns,
        "load_duration": load_ns,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": round(timings.prompt_ms * _NS_PER_MS),
        "eval_count": usage.completion_tokens,
        "eval_duration": round(timings.predicted_ms * _NS_PER_MS),
        "cached_tokens": usage.cached_tokens,
    }
