"""Owns reading chat requests into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from app.api.conversation_request import conversation_text, prompt_end
from app.api.dialect import Ask, ServedModel
from app.api.dialects.chat_completions.schemas import ChatRequest
from app.api.dialects.chat_completions.writer import ChatWriter
from app.api.sampling_request import read_sampling
from app.protocol import Generate, Render
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
            model.name,
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


def to_generate(data: bytes, body: ChatRequest, request_id: str, model: ServedModel) -> Generate:
    """Return the engine's command for a chat request.

    `inference_configs` wins over the top level, the top level over the model's defaults.

    Args:
        data: the request's body.
        body: the same, validated.
        request_id: goes into the command.
        model: the one that will answer.

    Raises:
        InvalidRequest: a value is invalid for the loaded model, or the last message cannot be
            continued.
    """
    defaults = model.defaults
    text = conversation_text(data, body)
    asked = read_sampling(model, body, body.inference_configs)
    return Generate(
        request_id=request_id,
        messages=text.messages,
        tools=text.tools if body.offers_tools else b"[]",
        template_kwargs=body.template_kwargs,
        prompt_end=prompt_end(body),
        sampling=asked.sampling,
        max_tokens=asked.max_tokens,
        stop=asked.stop,
        n=body.n or 1,
        report_progress=bool(body.return_progress and body.stream),
        explain_cache=bool(body.explain_cache),
        n_logprobs=body.n_logprobs,
        tool_choice=body.chosen_tools,
        constraint=body.constraint,
        reasoning=body.reasoning(defaults.reasoning),
        speculate=defaults.speculate if body.speculate is None else body.speculate,
    )


def to_render(data: bytes, body: ChatRequest, request_id: str) -> Render:
    """Return the engine's command for the prompt that a chat request would have.

    Args:
        data: the request's body.
        body: the same, validated.
        request_id: goes into the command.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    text = conversation_text(data, body)
    return Render(
        request_id=request_id,
        messages=text.messages,
        tools=text.tools if body.offers_tools else b"[]",
        template_kwargs=body.template_kwargs,
        prompt_end=prompt_end(body),
    )
