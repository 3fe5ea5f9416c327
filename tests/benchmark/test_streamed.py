"""A streamed answer reads the same however its bytes arrive, and each event gets its time."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.streamed import Arrival, Streamed, gaps_ms, parse_stream, percentile

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def content(text: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
USAGE = {
    "choices": [],
    "usage": {"completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}},
}
EVENTS = [content(None), content("Grüße "), content("from "), content("here"), FINISH, USAGE]


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


BODY = b"".join(chunk(sse(event)) for event in EVENTS) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK
RAW = HEAD + BODY


def pieces(raw: bytes, cuts: list[int]) -> list[Arrival]:
    """Cut `raw`; the piece that ends at offset N arrives at time N."""
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    return [(float(end), raw[begin:end]) for begin, end in itertools.pairwise(bounds)]


def byte_by_byte(raw: bytes) -> list[Arrival]:
    return pieces(raw, list(range(len(raw))))


# ---------------------------------------------------------------- events


def test_events_are_the_same_byte_by_byte() -> None:
    events = parse_stream(0.0, byte_by_byte(RAW)).events
    assert [event for _, event in events] == EVENTS


@given(st.lists(st.integers(0, len(RAW)), max_size=12))
def test_events_are_the_same_in_any_pieces(cuts: list[int]) -> None:
    events = parse_stream(0.0, pieces(RAW, cuts)).events
    assert [event for _, event in events] == EVENTS


def test_an_event_has_the_time_of_its_last_byte() -> None:
    times = [time_s for time_s, _ in parse_stream(0.0, byte_by_byte(RAW)).events]
    ends, at = [], len(HEAD)
    for event in EVENTS:
        at += len(chunk(sse(event)))
        ends.append(float(at - len(b"\r\n")))
    assert times == ends


def test_one_event_may_span_chunks_and_one_chunk_may_hold_several() -> None:
    first, *rest = (sse(event) for event in EVENTS)
    raw = HEAD + chunk(first[:9]) + chunk(first[9:] + b"".join(rest)) + LAST_CHUNK
    events = parse_stream(0.0, byte_by_byte(raw)).events
    assert [event for _, event in events] == EVENTS


def test_pings_and_what_follows_the_last_chunk_are_ignored() -> None:
    raw = HEAD + chunk(b": ping\n\n") + BODY + b"rubbish\r\n"
    events = parse_stream(0.0, byte_by_byte(raw)).events
    assert [event for _, event in events] == EVENTS


@pytest.mark.parametrize("length", [len(RAW) - len(LAST_CHUNK), len(RAW) - 20, len(HEAD) + 1])
def test_a_stream_that_breaks_is_no_answer(length: int) -> None:
    with pytest.raises(BenchFailed, match="broke"):
        parse_stream(0.0, [(1.0, RAW[:length])])


def test_a_stream_that_the_client_cut_holds_what_was_whole() -> None:
    counts = []
    for length in range(len(HEAD), len(RAW)):
        events = parse_stream(0.0, [(1.0, RAW[:length])], cut=True).events
        assert [event for _, event in events] == EVENTS[: len(events)]
        counts.append(len(events))
    assert counts == sorted(counts)
    assert counts[-1] == len(EVENTS)


def test_an_error_instead_of_an_answer_is_told() -> None:
    with pytest.raises(BenchFailed, match="503"):
        parse_stream(0.0, [(1.0, b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy")])


def test_an_error_in_the_stream_is_told() -> None:
    raw = HEAD + chunk(sse({"error": {"message": "the engine died"}})) + LAST_CHUNK
    with pytest.raises(BenchFailed, match="the engine died"):
        parse_stream(0.0, [(1.0, raw)])


# ---------------------------------------------------------------- figures


def test_figures_come_from_the_events_that_hold_text() -> None:
    timed = list(zip([1.0, 2.0, 2.5, 3.0, 4.0, 4.1], EVENTS, strict=True))
    answer = parse_stream(0.0, byte_by_byte(RAW))
    answer.events[:] = timed
    assert answer.ttft_ms == 2000.0
    assert answer.text_times_s == [2.0, 2.5, 3.0]
    assert answer.tokens_per_s == 1.0  # two tokens after the first, 2 s after its time
    assert (answer.n_tokens, answer.n_cached) == (3, 5)
    assert answer.text == "Grüße from here"


def test_the_tier_is_what_the_server_says() -> None:
    said = FINISH | {"timings": {"cache_n": 5, "tier": "disk"}}
    silent = FINISH | {"timings": {"cache_n": 5}}
    tiers = [Streamed(0.0, [(1.0, last), (2.0, USAGE)]).tier for last in (said, silent, FINISH)]
    assert tiers == ["disk", "", ""]


def test_gaps_are_those_that_touch_the_span() -> None:
    times = [0.0, 1.0, 3.0, 3.5, 9.0, 10.0]
    assert gaps_ms(times, 2.0, 4.0) == [2000.0, 500.0, 5500.0]
    assert gaps_ms(times, 1.0, 3.0) == [2000.0]
    assert gaps_ms([1.0], 0.0, 2.0) == []


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.5) == 7.0


def test_pieces_of_a_call_are_pieces_of_the_answer() -> None:
    call = {"index": 0, "function": {"arguments": "{}"}}
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    streamed = Streamed(1.0, [(2.0, content(None)), (3.0, delta), (5.0, FINISH)])
    assert streamed.first_text_s == 3.0
    assert streamed.answer_ms == 2000.0
    assert streamed.whole_ms == 4000.0
