"""Owns writing events as OpenAI's chat completions; no I/O."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from app.api.answering.bodies import cache_body, timings_body, usage_body
from app.api.dialect import Writer
from app.api.dialects.chat_completions.logprobs import logprobs_body
from app.api.outcome import Outcome
from app.protocol import (
    CacheMatch,
    CacheMiss,
    Delta,
    Finished,
    PromptProgress,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
)
from app.web import framing
from app.web.errors import error_body, fault_of

_NOT_FINISHED = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _ChatAnswer:
    """The state of one answer."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.logprobs: list[TokenLogprob] = []

    def collect(self, event: Delta) -> None:
        """Add one piece."""
        match event:
            case TextDelta():
                self.text.append(event.text)
            case ReasoningDelta():
                self.reasoning.append(event.text)
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                self.calls.append({"id": event.id, "type": "function", "function": function})
            case ToolCallDelta():
                self.calls[event.index]["function"]["arguments"] += event.arguments

    def body(self, event: Finished) -> dict[str, Any]:
        """Return the entry of `choices`."""
        content = "".join(self.text)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = self.calls
        return {
            "index": event.choice,
            "message": message,
            "logprobs": logprobs_body(self.logprobs),
            "finish_reason": event.reason,
        }


class ChatWriter(Writer):
    """The answers to one chat request, as a whole or in chunks.

    Args:
        reply_id: `chatcmpl-…`.
        model: name of the model, as the answer gives it.
        fingerprint: llama.cpp build and model digest.
        n_choices: how many answers there will be.
        explains_cache: whether the `cache` object is included.
        includes_usage: whether a chunk with the token counts ends a stream.
    """

    def __init__(
        self,
        reply_id: str,
        model: str,
        fingerprint: str,
        n_choices: int = 1,
        *,
        explains_cache: bool = False,
        includes_usage: bool = False,
    ) -> None:
        self._id = reply_id
        self._model = model
        self._fingerprint = fingerprint
        self._created = int(time.time())
        self._choices = [_ChatAnswer() for _ in range(n_choices)]
        self._explains_cache = explains_cache
        self._includes_usage = includes_usage
        self._match: CacheMatch | None = None
        self._miss: CacheMiss | None = None
        self._holds_logprobs = False
        chunk = msgspec.json.encode(self._base("chat.completion.chunk"))
        self._chunk_head = b"data: " + chunk[:-1] + b',"choices":['

    def _base(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }

    def _hold(self, event: TokenLogprobs) -> None:
        """Hold logprobs for the next chunk, or for the whole answer."""
        self._choices[event.choice].logprobs += event.tokens
        self._holds_logprobs = True

    # ------------------------------------------------------------ streamed

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the chunk for one event."""
        if type(event) is TextDelta and not self._holds_logprobs:
            # hot path: encoded without a dictionary
            text = msgspec.json.encode(event.text)
            return b'%b{"index":%d,"delta":{"content":%b}%b' % (
                self._chunk_head,
                event.choice,
                text,
                _NOT_FINISHED,
            )
        match event:
            case Started():
                self._match, self._miss = event.match, event.miss
                opening = {"role": "assistant", "content": ""}
                every = range(len(self._choices))
                return b"".join(self._chunk(index, opening, None) for index in every)
            case PromptProgress():
                return self._progress_chunk(event)
            case TokenLogprobs():
                self._hold(event)
                return b""
            case Finished():
                return self._last_chunk(event)
            case _:
                delta = _as_delta(event)
                return self._chunk(delta.choice, _delta(delta), None)

    def end(self, outcome: Outcome) -> bytes:
        """Return the chunk that `stream_options.include_usage` asks for, and the end."""
        if not self._includes_usage:
            return framing.DONE
        usage = msgspec.json.encode(usage_body(outcome.usage))
        return self._chunk_head + b'],"usage":' + usage + b"}\n\n" + framing.DONE

    def error(self, error: Exception) -> bytes:
        """Return the event that ends a stream with an error."""
        return framing.frame(msgspec.json.encode(error_body(fault_of(error)))) + framing.DONE

    def _progress_chunk(self, event: PromptProgress) -> bytes:
        progress = {
            "total": event.total,
            "cache": event.cache,
            "processed": event.processed,
            "time_ms": event.time_ms,
        }
        tail = b',"prompt_progress":' + msgspec.json.encode(progress)
        return self._chunk(0, {}, None, tail)

    def _last_chunk(self, event: Finished) -> bytes:
        tail = b',"timings":' + msgspec.json.encode(timings_body(event.timings))
        if self._explains_cache:
            explained = cache_body(event.usage, event.timings, self._match, self._miss)
            tail += b',"cache":' + msgspec.json.encode(explained)
        return self._chunk(event.choice, {}, event.reason, tail)

    def _chunk(
        self, index: int, delta: dict[str, Any], reason: str | None, tail: bytes = b""
    ) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._take_logprobs(index),
            "finish_reason": reason,
        }
        return self._chunk_head + msgspec.json.encode(choice) + b"]" + tail + b"}\n\n"

    def _take_logprobs(self, index: int) -> dict[str, Any] | None:
        choice = self._choices[index]
        held, choice.logprobs = choice.logprobs, []
        return logprobs_body(held)

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to its answer."""
        match event:
            case Started():
                self._match, self._miss = event.match, event.miss
            case PromptProgress() | Finished():
                pass
            case TokenLogprobs():
                self._hold(event)
            case _:
                delta = _as_delta(event)
                self._choices[delta.choice].collect(delta)

    def whole(self, outcome: Outcome) -> bytes:
        """Return the body of a response that is not streamed."""
        body = {
            **self._base("chat.completion"),
            "choices": [
                choice.body(outcome.finished(choice=index))
                for index, choice in enumerate(self._choices)
            ],
            "usage": usage_body(outcome.usage),
            "timings": timings_body(outcome.timings),
        }
        if self._explains_cache:
            body["cache"] = cache_body(outcome.usage, outcome.timings, self._match, self._miss)
        return msgspec.json.encode(body)


def _as_delta(event: RequestEvent) -> Delta:
    if isinstance(event, Delta):
        return event
    raise AssertionError(f"{type(event).__name__} is not part of a chat answer")


def _delta(event: Delta) -> dict[str, Any]:
    match event:
        case TextDelta():
            return {"content": event.text}
        case ReasoningDelta():
            return {"reasoning_content": event.text}
        case ToolCallStart():
            function = {"name": event.name, "arguments": ""}
            call = {"index": event.index, "id": event.id, "type": "function", "function": function}
            return {"tool_calls": [call]}
        case ToolCallDelta():
            return _arguments_delta(event)


def _arguments_delta(event: ToolCallDelta) -> dict[str, Any]:
    return {"tool_calls": [{"index": event.index, "function": {"arguments": event.arguments}}]}
