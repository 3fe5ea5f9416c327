"""Owns message threads: conversations that the service keeps, so that clients send what is new.

They are in the store of answers, under owners of their own. A thread that is gone is told in the
way that makes Anthropic's clients send the whole conversation again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.answer_store.records import StoredAnswer
from app.answer_store.store import AnswerStore
from app.api.dialects.anthropic.errors import THREAD_NOT_FOUND, THREADS_UNSUPPORTED
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.base.json_types import JsonObject, as_json, without_lone_escapes
from app.errors import AnswerNotFound, InvalidRequest
from app.web.json_body import parse

_ONCE = ("system", "tools")  # only the first request of a thread has them
_ID = "thread.previous_message_id"

Keep = Callable[[str, list[JsonObject]], Awaitable[bool]]
"""Keeps an answer, by its id and its content; returns whether it is kept."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A request of a thread.

    Args:
        body: the request with the whole conversation.
        n_earlier: how many of its messages were sent before.
        keep: keeps its answer.
    """

    body: MessagesRequest
    n_earlier: int
    keep: Keep


async def thread_of(
    data: bytes, body: MessagesRequest, store: AnswerStore, owner: str
) -> Thread | None:
    """Return a request with its thread; None where it has none.

    Args:
        data: the request's body.
        body: the same, validated.
        store: keeps threads.
        owner: the name of the client's key.

    Raises:
        InvalidRequest: nothing can be stored.
        AnswerNotFound: the thread is not stored, or not any more.
    """
    if body.thread is None:
        return None
    if not store.is_enabled:
        raise InvalidRequest(
            "thread: conversations are not stored here (setting responses_max_mb); "
            "send the whole conversation in messages",
            param="thread",
            code=THREADS_UNSUPPORTED,
        )
    owner = f"{owner} messages"  # no key has a space in its name
    fields: dict[str, Any] = json.loads(without_lone_escapes(data))
    previous = None
    earlier: list[JsonObject] = []
    if body.thread.type == "continue":
        previous = body.thread.previous_message_id
        first, earlier = await _earlier(previous, store, owner)
        whole = as_json({**fields, **first, "messages": [*earlier, *fields["messages"]]})
        body = parse(whole, MessagesRequest)

    async def keep(message_id: str, content: list[JsonObject]) -> bool:
        names = ("messages", *_ONCE) if previous is None else ("messages",)
        request = {name: fields[name] for name in names if name in fields}
        stored = StoredAnswer(
            id=message_id,
            previous=previous,
            model=str(fields.get("model") or ""),
            answer=as_json(content),
            request=as_json(request),
        )
        return await store.put(owner, stored)

    return Thread(body, len(earlier), keep)


async def _earlier(
    previous: str | None, store: AnswerStore, owner: str
) -> tuple[JsonObject, list[JsonObject]]:
    """Return the fields that a thread began with, and its messages and answers."""
    chain, gone = await store.chain(owner, previous or "")
    if gone is not None or not chain:
        raise AnswerNotFound(
            f"{_ID}: there is no thread with the message '{previous}'",
            param=_ID,
            code=THREAD_NOT_FOUND,
        )
    messages: list[JsonObject] = []
    requests: list[JsonObject] = [json.loads(stored.request) for stored in chain]
    for stored, request in zip(chain, requests, strict=True):
        answer = {"role": "assistant", "content": json.loads(stored.answer)}
        messages += [*request["messages"], answer]
    return {name: requests[0][name] for name in _ONCE if name in requests[0]}, messages
