"""A response is stored before its end is sent, and says so if it could not be."""

from __future__ import annotations

import json
from typing import Any

from app.api.dialects.responses.output import Output, ReasoningForm
from app.api.dialects.responses.stored import writer as stored_writer
from app.api.dialects.responses.stored.writer import StoringWriter
from app.api.dialects.responses.tools import Toolbox
from app.api.outcome import Outcome
from app.errors import EngineDied
from app.protocol import Finished, Generate, SamplingParams, TextDelta
from tests.api.dialects.responses.stream_order import StreamOrder, events_of
from tests.host.fake_engine import TIMINGS, USAGE

HI = TextDelta(request_id="r", text="Hi")


class Keeper:
    """Takes responses in, or not."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.kept: list[tuple[dict[str, Any], bytes]] = []

    async def keep(self, response: dict[str, Any], events: bytes) -> bool:
        self.kept.append((response, events))
        return self.works


def made(keeper: Keeper, *, is_streamed: bool = True, **options: Any) -> StoringWriter:
    begun = {"id": "resp_1", "status": "in_progress", "output": [], "store": True, "usage": None}
    begun |= {"error": None, "incomplete_details": None, "completed_at": None}
    output = Output(Toolbox([]), ReasoningForm())
    return StoringWriter(begun, output, keep=keeper.keep, is_streamed=is_streamed, **options)


def finished() -> Outcome:
    outcome = Outcome([Generate(request_id="r", sampling=SamplingParams())])
    outcome.note(0, [Finished(request_id="r", reason="stop", usage=USAGE, timings=TIMINGS)])
    return outcome


async def streamed(writer: StoringWriter) -> bytes:
    data = writer.begin() + writer.feed(0, HI) + writer.ping()
    outcome = finished()
    await writer.settle(outcome)
    return data + writer.end(outcome)


async def test_a_stream_is_stored_event_by_event_with_its_response() -> None:
    keeper = Keeper()
    data = await streamed(made(keeper))
    ((response, events),) = keeper.kept
    assert events == data
    assert StreamOrder().take_all(events_of(data)) == response
    assert response["store"] is True


async def test_what_cannot_be_stored_says_so_in_its_last_event() -> None:
    data = await streamed(made(Keeper(works=False)))
    assert StreamOrder().take_all(events_of(data))["store"] is False


async def test_a_whole_response_has_no_events() -> None:
    for works in (True, False):
        keeper, outcome = Keeper(works=works), finished()
        writer = made(keeper, is_streamed=False)
        writer.collect(0, HI)
        await writer.settle(outcome)
        assert json.loads(writer.whole(outcome))["store"] is works
        assert keeper.kept[0][1] == b""


async def test_a_stream_that_is_too_long_is_stored_without_its_events(monkeypatch: Any) -> None:
    monkeypatch.setattr(stored_writer, "MAX_EVENT_BYTES", 100)
    keeper = Keeper()
    await streamed(made(keeper))
    assert keeper.kept[0][1] == b""


def test_a_failure_is_not_stored_unless_somebody_does_it() -> None:
    for outlives in (True, False):
        writer = made(Keeper(), outlives_failure=outlives)
        data = writer.begin() + writer.feed(0, HI) + writer.error(EngineDied("gone"))
        response = StreamOrder().take_all(events_of(data))
        assert (response["status"], response["store"]) == ("failed", outlives)


def test_a_cancelled_response_has_what_there_is_of_it() -> None:
    writer = made(Keeper())
    writer.feed(0, HI)
    response = writer.cancelled()
    assert response["status"] == "cancelled"
    (message,) = response["output"]
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", "Hi")
