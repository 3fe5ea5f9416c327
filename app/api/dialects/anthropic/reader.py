"""Owns reading Anthropic's requests into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from app.api.chat.commands import to_generate
from app.api.dialect import Ask, ServedModel
from app.api.dialects.anthropic.chat_fields import Mapped, mapped
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.api.dialects.anthropic.writer import MessageWriter, Reply
from app.protocol import Generate
from app.web.json_body import parse


def read_mapped(data: bytes, signer: Signer) -> Mapped:
    """Read a request as a chat request.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    return mapped(parse(data, MessagesRequest), signer)


def read(data: bytes, signer: Signer, request_id: str) -> tuple[Ask, Mapped]:
    """Read a request for an answer.

    Args:
        data: the request's body.
        signer: signs reasoning, and tells which one is this service's.
        request_id: that of the request, for errors.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    body = parse(data, MessagesRequest)
    request = mapped(body, signer)
    chat = request.chat
    reply_id = f"msg_{secrets.token_hex(12)}"

    def writer(model: ServedModel, commands: Sequence[Generate]) -> MessageWriter:
        reply = Reply(
            id=reply_id,
            model=model.reply_name,
            request_id=request_id,
            max_tokens=commands[0].max_tokens,
            is_empty=body.is_prefill,
            param_of=request.names.of,
        )
        return MessageWriter(reply, signer)

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
