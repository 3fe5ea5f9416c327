"""Owns the way from a request to its answer, whole or streamed, for every dialect alike.

A client that disconnects cancels the handler; closing `arrivals` then cancels its requests.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import partial

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
from app.api.streaming.output import OutputOf, to_client
from app.errors import InvalidRequest
from app.protocol import Accepted
from app.web import access_log
from app.web.access_control import owner_of

RESUME_HEADER = "X-Conversation-Id"
_MAX_NAME_CHARS = 256


def answers(read: Reader) -> Handler:
    """Return the handler of the requests that `read` reads."""

    async def answer(request: Request) -> HTTPResponse | None:
        ask = read(request.body, request.headers)
        if ask.stream and (name := resume_name(request)):
            return await _resumable(request, ask, name)
        return await answer_ask(request, ask)

    return answer


def resume_name(request: Request) -> str:
    """Return the name by which the client may come back for its stream; empty if it may not.

    Raises:
        InvalidRequest: the header that has it is too long.
    """
    name: str = request.headers.get(RESUME_HEADER, "")
    if len(name) > _MAX_NAME_CHARS:
        raise InvalidRequest(
            f"{RESUME_HEADER}: must have no more than {_MAX_NAME_CHARS} characters",
            param=RESUME_HEADER,
        )
    return name if service_of(request).detached.is_enabled else ""


async def _resumable(request: Request, ask: Ask, name: str) -> HTTPResponse | None:
    """Answer a request by a task that outlives it; the client is its first reader."""
    detached = service_of(request).detached
    key = (owner_of(request), name)
    answer = detached.begin(key, request, partial(answer_ask, request, ask))
    if answer is None:
        return await answer_ask(request, ask)
    await detached.send(key, answer, request, 0)
    return None


async def answer_ask(
    request: Request, ask: Ask, output_of: OutputOf = to_client
) -> HTTPResponse | None:
    """Answer what was asked for.

    Args:
        output_of: returns where the bytes of a stream go.

    Raises:
        DistillerError: it failed before the first byte.
    """
    service = service_of(request)
    serving, model = await serving_for(request, ask.model, ask.overrides)
    access_log.note(request, model=serving.name, stream=ask.stream, reply_id=ask.reply_id)
    commands = ask.limited_commands(model)
    outcome = Outcome(commands)
    writer = ask.writer(model, commands)
    idle_s = service.timeouts.sse_ping_s if ask.stream else None
    is_controlled = any(command.reasoning.is_controlled for command in commands)
    noted = service.running_answers.note if is_controlled else _not_noted
    with noted(ask.reply_id, owner_of(request), commands):
        async with aclosing(arrivals(service.supervisor, serving, commands, idle_s)) as arrived:
            if not ask.stream:
                return await _whole(request, arrived, writer, outcome)
            await Stream(request, writer, outcome, output_of).send(arrived)
    return None


def _not_noted(*_about: object) -> AbstractContextManager[None]:
    """Return what keeps no note of an answer that clients cannot control."""
    return nullcontext()


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
    await writer.settle(outcome)
    note_answer(request, outcome.usage, outcome.timings, outcome.finish_reason)
    return HTTPResponse(writer.whole(outcome), content_type=writer.content_type)
