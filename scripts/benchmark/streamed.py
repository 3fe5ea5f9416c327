"""Owns reading a streamed answer: bytes and their arrival times in, events and figures out.

It must not know sockets. Formats: chunked transfer coding (RFC 9112, section 7.1) around
server-sent events, each with one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.benchmark.console import BenchFailed

_DONE = b"[DONE]"

Arrival = tuple[float, bytes]


@dataclass(frozen=True)
class Streamed:
    """What a streaming request brought.

    Attributes:
        began_s: when the request was sent, on `time.perf_counter`'s clock.
        events: arrival time and JSON body of each server-sent event.
    """

    began_s: float
    events: list[tuple[float, dict[str, Any]]]

    @property
    def ttft_ms(self) -> float:
        """Time from sending the request to the first piece of text."""
        return (self.first_text_s - self.began_s) * 1000.0

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts as the server states them."""
        for _, event in reversed(self.events):
            if isinstance(event.get("usage"), dict):
                return dict(event["usage"])
        raise BenchFailed("the streamed answer states no usage")

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer."""
        return int(self.usage["completion_tokens"])

    @property
    def n_cached(self) -> int:
        """Prompt tokens that the server says it had already; 0 where it does not say."""
        return int((self.usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    @property
    def tier(self) -> str:
        """Where the server says these were: memory, disk or none; empty where it does not say."""
        for _, event in reversed(self.events):
            if isinstance(event.get("timings"), dict):
                return str(event["timings"].get("tier") or "")
        return ""

    @property
    def text(self) -> str:
        """The whole answer."""
        deltas = (
            choice["delta"] for _, event in self.events for choice in event.get("choices", ())
        )
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def tokens_per_s(self) -> float:
        """Speed of decode as the client sees it: tokens after the first one over their time."""
        seconds = self.finished_s - self.first_text_s
        if self.n_tokens < 2 or seconds <= 0.0:
            raise BenchFailed(f"an answer of {self.n_tokens} tokens is too short to measure")
        return (self.n_tokens - 1) / seconds

    @property
    def answer_ms(self) -> float:
        """Time from the first piece of text to the end."""
        return (self.finished_s - self.first_text_s) * 1000.0

    @property
    def whole_ms(self) -> float:
        """Time from sending the request to the end."""
        return (self.finished_s - self.began_s) * 1000.0

    @property
    def text_times_s(self) -> list[float]:
        """When each piece of text, of a thought or of a tool call arrived."""
        return [time_s for time_s, event in self.events if _has_text(event)]

    @property
    def first_text_s(self) -> float:
        """When the first piece of text arrived."""
        times = self.text_times_s
        if not times:
            raise BenchFailed("the streamed answer holds no text")
        return times[0]

    @property
    def finished_s(self) -> float:
        """When the event with the finish reason arrived."""
        for time_s, event in self.events:
            if any(choice.get("finish_reason") for choice in event.get("choices", ())):
                return time_s
        raise BenchFailed("the streamed answer has no end")


def _has_text(event: dict[str, Any]) -> bool:
    deltas = (choice["delta"] for choice in event.get("choices", ()))
    pieces = ("content", "reasoning_content", "tool_calls")
    return any(delta.get(piece) for delta in deltas for piece in pieces)


def gaps_ms(times_s: Sequence[float], begin_s: float, end_s: float) -> list[float]:
    """Return the pauses between consecutive times that touch the span from begin to end."""
    return [
        (after - before) * 1000.0
        for before, after in itertools.pairwise(times_s)
        if before < end_s and after > begin_s
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def parse_stream(began_s: float, arrivals: Sequence[Arrival], *, cut: bool = False) -> Streamed:
    """Return the events of a response, each with the time at which its last byte was there.

    Args:
        began_s: when the request was sent.
        arrivals: what was received, in order.
        cut: the client went away on purpose, so the end may be missing.

    Raises:
        BenchFailed: the status is not 200, the stream broke, or it holds an error.
    """
    raw = b"".join(data for _, data in arrivals)
    ends = [0]
    for _, data in arrivals:
        ends.append(ends[-1] + len(data))
    head, separator, _ = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchFailed(f"a streaming request was answered with {raw[:400]!r}")
    events = []
    text = b""
    for end, chunk in _chunks(raw, len(head) + len(separator), cut=cut):
        arrived_s = arrivals[bisect_left(ends, end) - 1][0]
        *complete, text = (text + chunk).split(b"\n\n")
        for block in complete:
            if not block.startswith(b"data: ") or block.endswith(_DONE):
                continue
            event = json.loads(block.removeprefix(b"data: "))
            if "error" in event:
                raise BenchFailed(f"the stream ended with an error: {event['error']}")
            events.append((arrived_s, event))
    return Streamed(began_s, events)


def _chunks(raw: bytes, at: int, *, cut: bool) -> list[tuple[int, bytes]]:
    """Return the chunks from offset `at` on, each with the offset of its end in `raw`."""
    chunks: list[tuple[int, bytes]] = []
    while True:
        line_end = raw.find(b"\r\n", at)
        size = int(raw[at:line_end].split(b";")[0], 16) if line_end >= 0 else 0
        begin = line_end + 2
        if line_end < 0 or begin + size > len(raw):
            if cut:
                return chunks
            raise BenchFailed("the connection broke in the middle of a stream")
        if size == 0:
            return chunks
        at = begin + size + 2
        chunks.append((begin + size, raw[begin : begin + size]))
