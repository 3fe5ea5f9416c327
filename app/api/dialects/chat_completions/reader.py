"""Owns reading chat requests into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from app.api.chat.commands import to_generate
from app.api.dialect import Ask, ServedModel
from app.api.dialects.chat_completions.writer import ChatWriter
from app.api.schemas.chat import ChatRequest
from app.protocol import Generate
from app.web.json_body import parse


def read(body: bytes, _headers: Mapping[str, str]) -> Ask:
    """Read a chat request.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    chat = parse(body, ChatRequest)
    reply_id = f"chatcmpl-{secrets.token_hex(12)}"

    def writer(model: ServedModel, commands: Sequence[Generate]) -> ChatWriter:
        options = chat.stream_options
        return ChatWriter(
            reply_id,
            model.reply_name,
            model.info.fingerprint,
            commands[0].n,
            explains_cache=commands[0].explain_cache,
            includes_usage=bool(options and options.include_usage),
        )

    return Ask(
        reply_id=reply_id,
        model=chat.model,
        overrides=chat.load_model_configs.overrides() if chat.load_model_configs else {},
        stream=bool(chat.stream),
        commands=lambda model: [to_generate(body, chat, reply_id, model)],
        writer=writer,
    )
