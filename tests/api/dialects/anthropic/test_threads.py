"""Conversations that the service keeps go on, and those that are gone are told so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.answer_store.store import AnswerStore
from app.api.dialects.anthropic.threads import Thread, thread_of
from app.errors import AnswerNotFound, InvalidRequest
from app.parameters.answers import StoreParams
from tests.api.dialects.anthropic.anthropic_requests import TOOL, body_of, data_of

CREATE = {"type": "create"}
TEXT = {"type": "text", "text": "Hello."}
AGAIN = {"role": "user", "content": "Again"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AnswerStore]:
    kept = AnswerStore(tmp_path, StoreParams())
    await kept.start()
    yield kept
    await kept.stop()


async def opened(store: AnswerStore, owner: str = "", **fields: Any) -> Thread:
    data = data_of(**fields)
    thread = await thread_of(data, body_of(data), store, owner)
    assert thread is not None
    return thread


def going_on(message_id: str) -> dict[str, str]:
    return {"type": "continue", "previous_message_id": message_id}


def said(thread: Thread) -> list[tuple[str, str]]:
    """Return who said what in the conversation of a request."""
    found: list[tuple[str, str]] = []
    for message in thread.body.messages:
        text = message.content
        found.append((message.role, text if isinstance(text, str) else "(blocks)"))
    return found


async def test_without_a_thread_nothing_is_kept(store: AnswerStore) -> None:
    data = data_of(thread=None)
    assert await thread_of(data, body_of(data), store, "") is None


async def test_a_thread_goes_on_with_what_it_began_with(store: AnswerStore) -> None:
    first = await opened(store, thread=CREATE, system="Be brief.", tools=[TOOL], temperature=0.5)
    assert first.n_earlier == 0
    assert await first.keep("msg_1", [TEXT])
    second = await opened(store, thread=going_on("msg_1"), messages=[AGAIN])
    assert said(second) == [("user", "Hi"), ("assistant", "(blocks)"), ("user", "Again")]
    assert second.n_earlier == 2
    assert second.body.system == "Be brief."
    assert [tool.name for tool in second.body.tools or ()] == ["get_weather"]
    assert getattr(second.body, "temperature") is None  # noqa: B009
    assert await second.keep("msg_2", [TEXT])
    third = await opened(store, thread=going_on("msg_2"))
    assert len(said(third)) == 5
    assert third.body.system == "Be brief."


async def test_a_thread_that_is_gone_or_somebody_elses_is_not_found(store: AnswerStore) -> None:
    first = await opened(store, "a", thread=CREATE)
    await first.keep("msg_1", [])
    for owner, message_id in (("a", "msg_2"), ("b", "msg_1"), ("a", "")):
        with pytest.raises(AnswerNotFound) as refused:
            await opened(store, owner, thread=going_on(message_id))
        assert refused.value.code == "thread_not_found"
        assert refused.value.param == "thread.previous_message_id"
    with pytest.raises(AnswerNotFound):
        await opened(store, "a", thread={"type": "continue"})


async def test_stored_responses_are_no_threads_and_threads_no_responses(
    store: AnswerStore,
) -> None:
    await (await opened(store, "a", thread=CREATE)).keep("msg_1", [])
    assert await store.get("a", "msg_1") is None


async def test_where_nothing_is_stored_clients_are_told_to_go_on_without(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, StoreParams(responses_max_mb=0))
    with pytest.raises(InvalidRequest) as refused:
        await opened(store, thread=CREATE)
    assert refused.value.code == "thread_unsupported_request"
    assert "responses_max_mb" in refused.value.message


async def test_half_a_surrogate_pair_ends_no_thread(store: AnswerStore) -> None:
    data = json.dumps({"messages": [{"role": "user", "content": "\ud83d"}], "thread": CREATE})
    thread = await thread_of(data.encode(), body_of(data.encode()), store, "")
    assert thread is not None
    assert await thread.keep("msg_1", [TEXT])
    assert len(said(await opened(store, thread=going_on("msg_1")))) == 3
