"""Owns the way from a request to its answer, whole or streamed, for every dialect alike.

A client that disconnects cancels the handler; closing `arrivals` then cancels its requests.
"""

from __future__ import annotations

from contextlib import aclosing

from sanic import HTTPResponse, Request

from app.api.answering.answer_log import note_answer
from app.api.answering.arrivals import Arrivals, arrivals
from app.api.answering.served import serving_for
from app.api.answering.stream import Stream
from app.api.dialect import Ask, Reader, Writer
from app.api.engine_errors import raise_if_failed
from app.api.outcome import Outcome
from app.api.route import Handler
from app.api.service import service_of
from app.protocol import Accepted
from app.web import access_log


def answers(read: Reader) -> Handler:
    """Return the handler of the requests that `read` reads."""

    async def answer(request: Request) -> HTTPResponse | None:
        return await _answer(request, read(request.body, request.headers))

    return answer


async def _answer(request: Request, ask: Ask) -> HTTPResponse | None:
    service = service_of(request)
    serving, model = await serving_for(request, ask.model, ask.overrides)
    access_log.note(request, model=serving.name, stream=ask.stream, reply_id=ask.reply_id)
    commands = ask.limited_commands(model)
    outcome = Outcome(commands)
    writer = ask.writer(model, commands)
    idle_s = service.timeouts.sse_ping_s if ask.stream else None
    async with aclosing(arrivals(service.supervisor, serving, commands, idle_s)) as arrived:
        if not ask.stream:
            return await _whole(request, arrived, writer, outcome)
        await Stream(request, writer, outcome).send(arrived)
    return None


async def _whole(
    request: Request, arrived: Arrivals, writer: Writer, outcome: Outcome
) -> HTTPResponse:
    async for together in arrived:
        for prompt_no, events in together:
            raise_if_failed(events[-1])
            for event in events:
                if type(event) is not Accepted:
                    writer.collect(prompt_no, event)
            outcome.note(prompt_no, events)
    note_answer(request, outcome.usage, outcome.timings, outcome.finish_reason)
    return HTTPResponse(writer.whole(outcome), content_type=writer.content_type)
