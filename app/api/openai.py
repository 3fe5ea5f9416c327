"""Owns the OpenAI dialect: a request into a command, events into its JSON and back.

It maps shapes and nothing else; no I/O, no Sanic.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from app.api.schemas.chat import ChatRequest, InferenceConfigs, RestoreCacheRequest
from app.errors import InvalidRequest
from app.protocol import (
    Delta,
    Finished,
    Generate,
    Prefill,
    PromptProgress,
    ReasoningDelta,
    SamplingParams,
    TextDelta,
    Timings,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)

_ALIASES = {"repetition_penalty": "repeat_penalty", "max_completion_tokens": "max_tokens"}
_TOKEN_ID = re.compile(r"[0-9]{1,9}")
_SEED_MASK = 0x7FFFFFFF


def to_generate(
    body: ChatRequest,
    request_id: str,
    *,
    defaults: SamplingParams,
    max_tokens: int | None,
    n_vocab: int,
) -> Generate:
    """Return the engine's command for a chat request.

    `inference_configs` wins over the top level, the top level over `defaults`.

    Raises:
        InvalidRequest: a value that only the loaded model can judge is wrong.
    """
    given = _given(body)
    stop = given.pop("stop", None)
    limit = given.pop("max_tokens", max_tokens)
    if "logit_bias" in given:
        given["logit_bias"] = _logit_bias(given["logit_bias"], n_vocab)
    sampling = msgspec.structs.replace(defaults, **given)
    if sampling.seed is not None:
        sampling = msgspec.structs.replace(sampling, seed=_fold_seed(sampling.seed))
    return Generate(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.offered_tools,
        template_kwargs=body.chat_template_kwargs or {},
        sampling=sampling,
        max_tokens=limit,
        stop=[stop] if isinstance(stop, str) else list(stop or ()),
        n=body.n or 1,
        report_progress=bool(body.return_progress and body.stream),
    )


def to_prefill(body: RestoreCacheRequest, request_id: str) -> Prefill:
    """Return the engine's command for a prompt that is to be kept ready."""
    return Prefill(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.raw_tools(),
        template_kwargs=body.chat_template_kwargs or {},
    )


def _given(body: ChatRequest) -> dict[str, Any]:
    wanted = set(InferenceConfigs.model_fields)
    values: dict[str, Any] = {}
    for source in (body, body.inference_configs):
        if source is None:
            continue
        named = source.model_dump(include=wanted, exclude_none=True)
        for name, value in sorted(named.items(), key=lambda item: item[0] in _ALIASES):
            values[_ALIASES.get(name, name)] = value
    return values


def _logit_bias(given: Mapping[str, float], n_vocab: int) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, bias in given.items():
        if not _TOKEN_ID.fullmatch(key) or int(key) >= n_vocab:
            raise InvalidRequest(
                f"logit_bias: '{key}' is no token id; ids run from 0 to {n_vocab - 1}",
                param="logit_bias",
            )
        biases[int(key)] = bias
    return biases


def _fold_seed(seed: int) -> int:
    """Return a seed for llama.cpp: 31 bits, as the highest value means a random one there."""
    return (seed ^ (seed >> 31)) & _SEED_MASK


# ---------------------------------------------------------------- events to JSON


class _Choice:
    """One answer while it is put together."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[dict[str, Any]] = []

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
            "logprobs": None,
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
    """

    def __init__(self, reply_id: str, model: str, fingerprint: str, n_choices: int = 1) -> None:
        self._id = reply_id
        self._model = model
        self._fingerprint = fingerprint
        self._created = int(time.time())
        self._choices = [_Choice() for _ in range(n_choices)]
        self._finished: dict[int, Finished] = {}
        self._chunk_head = (
            msgspec.json.encode(self._base("chat.completion.chunk"))[:-1] + b',"choices":['
        )

    @property
    def is_complete(self) -> bool:
        """Whether every answer has ended."""
        return len(self._finished) == len(self._choices)

    def _base(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }

    # ------------------------------------------------------------ streamed

    def first_chunks(self) -> list[bytes]:
        """Return the JSON of the chunks that open a stream, one for each answer."""
        opening = {"role": "assistant", "content": ""}
        return [self._chunk(index, opening, None) for index in range(len(self._choices))]

    def chunk(self, event: Delta) -> bytes:
        """Return the JSON of the chunk for one piece of an answer."""
        if isinstance(event, TextDelta):  # nearly all are: put together without a dictionary
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
        tail = b',"timings":' + msgspec.json.encode(timings_body(event.timings)) + b"}"
        return self._chunk(event.choice, {}, event.reason, tail)

    def usage_chunk(self) -> bytes:
        """Return the JSON of the chunk that `stream_options.include_usage` asks for."""
        usage = msgspec.json.encode(usage_body(self.usage()))
        return self._chunk_head + b'],"usage":' + usage + b"}"

    def _chunk(
        self, index: int, delta: dict[str, Any], reason: str | None, tail: bytes = b"}"
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._chunk_head + msgspec.json.encode(choice) + b"]" + tail

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
        return {
            **self._base("chat.completion"),
            "choices": [choice.body(end) for choice, end in choices],
            "usage": usage_body(self.usage()),
            "timings": timings_body(self.timings()),
        }

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
    """Return llama-server's `timings` object, with queue and first-token times added."""
    return {
        "queue_ms": timings.queue_ms,
        "ttft_ms": timings.ttft_ms,
        "cache_n": timings.cache_n,
        "prompt_n": timings.prompt_n,
        "prompt_ms": timings.prompt_ms,
        "prompt_per_second": per_second(timings.prompt_n, timings.prompt_ms),
        "predicted_n": timings.predicted_n,
        "predicted_ms": timings.predicted_ms,
        "predicted_per_second": decode_per_second(timings),
    }


def decode_per_second(timings: Timings) -> float | None:
    """Return the speed of decode in tokens a second; the first token is prefill's."""
    return per_second(max(0, timings.predicted_n - 1), timings.predicted_ms)


def per_second(count: int, milliseconds: float) -> float | None:
    """Return a rate, or None where nothing was done in no time."""
    return round(1000.0 * count / milliseconds, 2) if count and milliseconds > 0.0 else None
