"""Owns writing events as Anthropic's messages; no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.api.chat.commands import renamed
from app.api.dialect import Writer
from app.api.dialects.anthropic.answer_blocks import AnswerBlocks, WholeContent
from app.api.dialects.anthropic.errors import anthropic_error_body
from app.api.dialects.anthropic.signatures import Signer
from app.api.dialects.anthropic.threads import Keep
from app.api.outcome import Outcome
from app.base.json_types import JsonObject
from app.errors import InvalidRequest
from app.protocol import Delta, Finished, RequestEvent, Usage
from app.web.errors import fault_of

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says of its request.

    Args:
        id: `msg_…`.
        model: the name that was asked for.
        request_id: that of the request, for errors.
        max_tokens: the most tokens it may have; None where the context is the limit.
        stop_sequences: those of the request; a model may have others.
        is_empty: whether the prompt is only prefilled, which `max_tokens` 0 asks for.
        param_of: returns Anthropic's name of a chat field, for errors.
    """

    id: str
    model: str
    request_id: str = ""
    max_tokens: int | None = None
    stop_sequences: Sequence[str] = ()
    is_empty: bool = False
    param_of: Callable[[str], str] = str


class MessageWriter(Writer):
    """The answer to one request, as a whole or in events.

    Args:
        reply: facts of the request.
        signer: signs reasoning.
        keep: keeps the answer for the thread that it belongs to; None where it has none.
    """

    def __init__(self, reply: Reply, signer: Signer, keep: Keep | None = None) -> None:
        self._reply = reply
        self._keep = keep
        self._blocks = AnswerBlocks(signer)
        self._whole = WholeContent()
        self._has_begun = False
        self._last: list[JsonObject] = []  # closes the last block of an answer that is kept

    # ------------------------------------------------------------ streamed

    def begin(self) -> bytes:
        """Return the opening of the message; what it says of tokens is corrected at the end."""
        self._has_begun = True
        usage = usage_body(Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0))
        return _frame({"type": "message_start", "message": self._message([], None, None, usage)})

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the events of the next piece of the answer."""
        events = self._events(event)
        if self._keep is not None:
            self._add(events)
        return _frames(events)

    def end(self, outcome: Outcome) -> bytes:
        """Return the events that close the last block and the message."""
        finished = outcome.finished()
        reason, stop_sequence = self._ending(finished)
        closing: JsonObject = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": stop_sequence},
            "usage": self._usage(finished),
        }
        closed = self._blocks.close() if self._keep is None else self._last
        return _frames([*closed, closing, {"type": "message_stop"}])

    def ping(self) -> bytes:
        """Return a `ping`; nothing before the message begins, so that errors keep their status."""
        return _frame({"type": "ping"}) if self._has_begun else b""

    def error(self, error: Exception) -> bytes:
        """Return the event that ends a stream with an error."""
        if isinstance(error, InvalidRequest):
            error = renamed(error, self._reply.param_of)
        fault = dataclasses.replace(fault_of(error), request_id=self._reply.request_id)
        return _frame(anthropic_error_body(fault))

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to the answer."""
        self._add(self._events(event))

    def whole(self, outcome: Outcome) -> bytes:
        """Return the body of an answer that is not streamed."""
        if self._keep is None:
            self._add(self._blocks.close())
        finished = outcome.finished()
        reason, stop_sequence = self._ending(finished)
        body = self._message(self._whole.content(), reason, stop_sequence, self._usage(finished))
        return msgspec.json.encode(body)

    # ------------------------------------------------------------ both

    async def settle(self, outcome: Outcome) -> None:
        """Keep the answer if it belongs to a thread; one that cannot be kept is sent all the same.

        The thread is gone then, which its client learns when it goes on.
        """
        if self._keep is not None:
            self._last = self._blocks.close()
            self._add(self._last)
            await self._keep(self._reply.id, self._whole.content())

    def _add(self, events: Sequence[JsonObject]) -> None:
        for event in events:
            self._whole.add(event)

    def _events(self, event: RequestEvent) -> list[JsonObject]:
        if not isinstance(event, Delta) or self._reply.is_empty:
            return []
        return self._blocks.feed(event)

    def _message(
        self,
        content: list[JsonObject],
        reason: str | None,
        stop_sequence: str | None,
        usage: JsonObject,
    ) -> JsonObject:
        return {
            "id": self._reply.id,
            "type": "message",
            "role": "assistant",
            "model": self._reply.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": stop_sequence,
            "usage": usage,
        }

    def _ending(self, finished: Finished) -> tuple[str, str | None]:
        """Return why the answer ended, and the stop sequence that ended it."""
        stopped = finished.stop_string
        if finished.reason == "stop" and stopped in self._reply.stop_sequences:
            return "stop_sequence", stopped
        most = self._reply.max_tokens
        is_full = most is None or finished.usage.completion_tokens < most
        if finished.reason == "length" and is_full and not self._reply.is_empty:
            return "model_context_window_exceeded", None
        return _REASONS.get(finished.reason, "end_turn"), None

    def _usage(self, finished: Finished) -> JsonObject:
        usage = finished.usage
        if self._reply.is_empty:
            usage = msgspec.structs.replace(usage, completion_tokens=0, reasoning_tokens=0)
        return usage_body(usage)


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return Anthropic's `usage`: each token of the prompt is in one of the three counts.

    Tokens are created in the cache if they were prefilled and `cache_control` stands behind them.
    """
    prefilled = usage.prompt_tokens - usage.cached_tokens
    created = max(0, usage.marked_tokens - usage.cached_tokens)
    return {
        "input_tokens": prefilled - created,
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _frames(events: Sequence[JsonObject]) -> bytes:
    return b"".join(map(_frame, events))


def _frame(event: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
