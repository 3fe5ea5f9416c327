"""Owns reading Anthropic's requests into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from app.api.chat.commands import to_generate
from app.api.dialect import Ask, ServedModel
from app.api.dialects.anthropic.chat_fields import Mapped, mapped
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.api.dialects.anthropic.threads import Thread
from app.api.dialects.anthropic.writer import MessageWriter, Reply
from app.protocol import Generate


def ask_of(
    body: MessagesRequest, signer: Signer, request_id: str, thread: Thread | None = None
) -> tuple[Ask, Mapped]:
    """Return what the driver needs to answer a request, and the chat request that it becomes.

    Args:
        body: the request.
        signer: signs reasoning, and tells which one is this service's.
        request_id: that of the request, for errors.
        thread: the thread that the request belongs to.

    Raises:
        InvalidRequest: a value is invalid; `param` names it.
    """
    request = mapped_in(thread, body, signer)
    chat = request.chat
    reply_id = f"msg_{secrets.token_hex(12)}"

    def writer(model: ServedModel, commands: Sequence[Generate]) -> MessageWriter:
        reply = Reply(
            id=reply_id,
            model=model.reply_name,
            request_id=request_id,
            max_tokens=commands[0].max_tokens,
            stop_sequences=body.stop_sequences or (),
            is_empty=body.is_prefill,
            param_of=request.names.of,
        )
        return MessageWriter(reply, signer, thread.keep if thread else None)

    ask = Ask(
        reply_id=reply_id,
        model=body.model,
        overrides={},
        stream=bool(body.stream),
        commands=lambda model: [
            request.completed(to_generate(chat.data, chat.body, reply_id, model))
        ],
        writer=writer,
    )
    return ask, request


def mapped_in(thread: Thread | None, body: MessagesRequest, signer: Signer) -> Mapped:
    """Return a request as a chat request; that of a thread with what the thread has.

    Raises:
        InvalidRequest: a value is invalid; `param` names it.
    """
    if thread is None:
        return mapped(body, signer)
    return mapped(thread.body, signer, thread.n_earlier)
