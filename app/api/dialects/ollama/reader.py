"""Owns reading requests for answers into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from app.api.chat.commands import chat_of, renamed, to_generate
from app.api.chat.sampling import read_sampling
from app.api.dialect import Ask, ServedModel
from app.api.dialects.ollama.conversation import openai_messages, openai_tools
from app.api.dialects.ollama.fields import answer_fields, param_of, thinking_fields
from app.api.dialects.ollama.lines import PartBody, chat_body, generate_body
from app.api.dialects.ollama.schemas import (
    OllamaChatRequest,
    OllamaFields,
    OllamaGenerateRequest,
    RawAnswerFields,
)
from app.api.dialects.ollama.writer import OllamaWriter
from app.api.schemas.ollama import parse_body
from app.errors import InvalidRequest, ModelNotFound
from app.protocol import Generate, RawPrompt
from app.web.validation import explain

BodyT = TypeVar("BodyT", bound=OllamaFields)
Commands = Callable[[str, ServedModel], Generate]


def read_body(data: bytes, schema: type[BodyT]) -> BodyT:
    """Return the validated body of a request, which names its model.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    body = parse_body(data, schema)
    if not body.model:
        raise InvalidRequest("model is required", param="model")
    return body


def chat_ask(body: OllamaChatRequest) -> Ask:
    """Return what a request for an answer to a conversation asks for.

    Raises:
        InvalidRequest: a value is invalid; `param` names the field.
    """
    fields: dict[str, Any] = {
        "messages": openai_messages(body.messages or ()),
        "tools": openai_tools(body.tools),
        "tool_choice": body.tool_choice,
        **thinking_fields(body.think),
        **answer_fields(body),
    }
    return _ask(body, _chat_command(fields, param_of), chat_body)


def generate_ask(body: OllamaGenerateRequest) -> Ask:
    """Return what a request for an answer to a prompt, or for the rest of a text, asks for.

    Raises:
        InvalidRequest: a value is invalid; `param` names the field.
    """
    _check_prompt(body)
    if body.raw or body.suffix:
        return _ask(body, _raw_command(body), generate_body)
    messages = [{"role": "system", "content": body.system}] if body.system else []
    messages.append({"role": "user", "content": body.prompt or ""})
    fields = {"messages": messages, **thinking_fields(body.think), **answer_fields(body)}
    command = _chat_command(fields, param_of_prompt)
    return _ask(body, _with_context(command, body.context or []), generate_body)


def param_of_prompt(field: str) -> str:
    """Return the name that `/api/generate` has for a field of a chat body; for errors."""
    return "prompt" if field.startswith("messages") else param_of(field)


def as_asked(error: Exception, body: OllamaFields) -> Exception:
    """Return an error in the words of Ollama and with the names of the request's fields."""
    match error:
        case ModelNotFound():
            return ModelNotFound(f"model '{body.model}' not found", param="model")
        case InvalidRequest(param="suffix"):
            return InvalidRequest(f'"{body.model}" does not support insert', param="suffix")
        case InvalidRequest():
            is_chat = isinstance(body, OllamaChatRequest)
            return renamed(error, param_of if is_chat else param_of_prompt)
        case _:
            return error


def _check_prompt(body: OllamaGenerateRequest) -> None:
    if body.raw and (body.template or body.system or body.context):
        raise InvalidRequest("raw mode does not support template, system, or context", param="raw")
    if body.suffix and body.context:
        raise InvalidRequest("context: cannot be combined with suffix", param="context")
    if body.template:
        raise InvalidRequest(
            "template: a request cannot bring its own template; that of the model is used, "
            "or none with raw",
            param="template",
        )


def _chat_command(fields: dict[str, Any], named: Callable[[str], str]) -> Commands:
    chat = chat_of(fields, named)

    def command(reply_id: str, model: ServedModel) -> Generate:
        try:
            return to_generate(chat.data, chat.body, reply_id, model)
        except InvalidRequest as error:
            raise renamed(error, named) from None

    return command


def _with_context(command: Commands, context: list[int]) -> Commands:
    """Return a command that follows earlier turns, and tells the tokens that later ones follow."""

    def following(reply_id: str, model: ServedModel) -> Generate:
        plain = command(reply_id, model)
        return msgspec.structs.replace(plain, context=context, echo=True, report_tokens=True)

    return following


def _raw_command(body: OllamaGenerateRequest) -> Commands:
    try:
        fields = RawAnswerFields.model_validate(answer_fields(body))
    except ValidationError as error:
        raise renamed(explain(error, RawAnswerFields), param_of) from None

    def command(reply_id: str, model: ServedModel) -> Generate:
        asked = read_sampling(model, fields)
        return Generate(
            request_id=reply_id,
            prompt=RawPrompt(text=body.prompt or "", suffix=body.suffix or None),
            sampling=asked.sampling,
            max_tokens=asked.max_tokens,
            stop=asked.stop,
            n_logprobs=fields.top_logprobs if fields.logprobs else None,
            constraint=fields.constraint,
            speculate=model.defaults.speculate,
        )

    return command


def _ask(body: OllamaFields, command: Commands, part_body: PartBody) -> Ask:
    asked_ns = time.monotonic_ns()
    reply_id = f"ollama-{secrets.token_hex(12)}"

    def writer(model: ServedModel, _commands: Sequence[Generate]) -> OllamaWriter:
        error = partial(as_asked, body=body)
        return OllamaWriter(body.model or model.reply_name, part_body, asked_ns, error)

    return Ask(
        reply_id=reply_id,
        model=body.model,
        overrides={},
        stream=body.streams,
        commands=lambda model: [command(reply_id, model)],
        writer=writer,
    )
