"""Owns the OpenAI dialect's way out: an engine's events become its JSON; no I/O, no Sanic."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from app.api.dialects.chat_completions.logprobs import logprobs_body
from app.protocol import (
    CacheMiss,
    Delta,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)


class _Choice:
    """One answer while it is put together."""

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


_NOT_FINISHED = b',"logprobs":null,"finish_reason":null}]}'


class Reply:
    """The answers to one chat request, as a whole or in chunks.

    Args:
        reply_id: `chatcmpl-…`.
        model: file name of the model.
        fingerprint: llama.cpp build and model digest.
        n_choices: how many answers there will be.
        explains_cache: whether the reply says what the prompt cache had of the prompt.
    """

    def __init__(
        self,
        reply_id: str,
        model: str,
        fingerprint: str,
        n_choices: int = 1,
        *,
        explains_cache: bool = False,
    ) -> None:
        self._id = reply_id
        self._model = model
        self._fingerprint = fingerprint
        self._created = int(time.time())
        self._choices = [_Choice() for _ in range(n_choices)]
        self._finished: dict[int, Finished] = {}
        self._explains_cache = explains_cache
        self._miss: CacheMiss | None = None
        self._holds_logprobs = False
        self._chunk_head = (
            msgspec.json.encode(self._base("chat.completion.chunk"))[:-1] + b',"choices":['
        )

    @property
    def is_complete(self) -> bool:
        """Whether every answer has ended."""
        return len(self._finished) == len(self._choices)

    def start(self, event: Started) -> None:
        """Note where the prompt parts from the cached one."""
        self._miss = event.miss

    def _base(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }

    def hold(self, event: TokenLogprobs) -> None:
        """Keep the logprobs of tokens for the chunk that comes next, or for the whole answer."""
        self._choices[event.choice].logprobs += event.tokens
        self._holds_logprobs = True

    # ------------------------------------------------------------ streamed

    def first_chunks(self) -> list[bytes]:
        """Return the JSON of the chunks that open a stream, one for each answer."""
        opening = {"role": "assistant", "content": ""}
        return [self._chunk(index, opening, None) for index in range(len(self._choices))]

    def chunk(self, event: Delta) -> bytes:
        """Return the JSON of the chunk for one piece of an answer."""
        if isinstance(event, TextDelta) and not self._holds_logprobs:
            # nearly all are: put together without a dictionary
            text = msgspec.json.encode(event.text)
            return b'%b{"index":%d,"delta":{"content":%b}%b' % (
                self._chunk_head,
                event.choice,
                text,
                _NOT_FINISHED,
            )
        return self._chunk(event.choice, _delta(event), None)

    def progress_chunk(self, event: PromptProgress) -> bytes:
        """Return the JSON of the chunk that `return_progress` asks for."""
        progress = {
            "total": event.total,
            "cache": event.cache,
            "processed": event.processed,
            "time_ms": event.time_ms,
        }
        tail = b',"prompt_progress":' + msgspec.json.encode(progress) + b"}"
        return self._chunk(0, {}, None, tail)

    def last_chunk(self, event: Finished) -> bytes:
        """Return the JSON of the chunk that says why an answer ended."""
        tail = b',"timings":' + msgspec.json.encode(timings_body(event.timings))
        if self._explains_cache:
            explained = cache_body(event.usage, event.timings, self._miss)
            tail += b',"cache":' + msgspec.json.encode(explained)
        return self._chunk(event.choice, {}, event.reason, tail + b"}")

    def usage_chunk(self) -> bytes:
        """Return the JSON of the chunk that `stream_options.include_usage` asks for."""
        usage = msgspec.json.encode(usage_body(self.usage()))
        return self._chunk_head + b'],"usage":' + usage + b"}"

    def _chunk(
        self, index: int, delta: dict[str, Any], reason: str | None, tail: bytes = b"}"
    ) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._take_logprobs(index),
            "finish_reason": reason,
        }
        return self._chunk_head + msgspec.json.encode(choice) + b"]" + tail

    def _take_logprobs(self, index: int) -> dict[str, Any] | None:
        choice = self._choices[index]
        held, choice.logprobs = choice.logprobs, []
        return logprobs_body(held)

    # ------------------------------------------------------------ whole

    def collect(self, event: Delta) -> None:
        """Add one piece to its answer."""
        self._choices[event.choice].collect(event)

    def finish(self, event: Finished) -> None:
        """Note that an answer has ended."""
        self._finished[event.choice] = event

    def whole(self) -> dict[str, Any]:
        """Return the body of a response that is not streamed."""
        ends = [self._finished[index] for index in range(len(self._choices))]
        choices = zip(self._choices, ends, strict=True)
        body = {
            **self._base("chat.completion"),
            "choices": [choice.body(end) for choice, end in choices],
            "usage": usage_body(self.usage()),
            "timings": timings_body(self.timings()),
        }
        if self._explains_cache:
            body["cache"] = cache_body(self.usage(), self.timings(), self._miss)
        return body

    @property
    def finish_reason(self) -> str:
        """Why the first answer ended."""
        return self._finished[0].reason

    def timings(self) -> Timings:
        """Return where the time of the first answer went."""
        return self._finished[0].timings

    def usage(self) -> Usage:
        """Return the token counts: the prompt once, all answers together."""
        ends = self._finished.values()
        return Usage(
            prompt_tokens=max(end.usage.prompt_tokens for end in ends),
            cached_tokens=min(end.usage.cached_tokens for end in ends),
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
        )


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


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_body(timings: Timings) -> dict[str, Any]:
    """Return llama-server's `timings` object; queue, first token and cache tier are added."""
    return {
        "queue_ms": timings.queue_ms,
        "ttft_ms": timings.ttft_ms,
        "tier": timings.tier,
        "restore_ms": timings.restore_ms,
        "cache_n": timings.cache_n,
        "prompt_n": timings.prompt_n,
        "prompt_ms": timings.prompt_ms,
        "prompt_per_second": per_second(timings.prompt_n, timings.prompt_ms),
        "predicted_n": timings.predicted_n,
        "predicted_ms": timings.predicted_ms,
        "predicted_per_second": decode_per_second(timings),
    }


def cache_body(usage: Usage, timings: Timings, miss: CacheMiss | None) -> dict[str, Any]:
    """Return the `cache` object that `explain_cache` asks for."""
    return {
        "tier": timings.tier,
        "cached_tokens": usage.cached_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "first_difference": miss and msgspec.to_builtins(miss, builtin_types=()),
    }


def decode_per_second(timings: Timings) -> float | None:
    """Return the speed of decode in tokens a second; the first token is prefill's."""
    return per_second(max(0, timings.predicted_n - 1), timings.predicted_ms)


def per_second(count: int, milliseconds: float) -> float | None:
    """Return a rate, or None where nothing was done in no time."""
    return round(1000.0 * count / milliseconds, 2) if count and milliseconds > 0.0 else None
