"""Owns turning a chat request into an engine's commands, for every dialect; no I/O.

A dialect of its own writes a conversation as OpenAI's chat body, validates that with `chat_of`, and
gets tools, schemas, reasoning and sampling like the chat dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from app.api.chat.conversation import conversation_text, prompt_end
from app.api.chat.sampling import read_sampling
from app.api.dialect import ServedModel
from app.api.schemas.chat import ChatRequest
from app.base.json_types import as_json
from app.errors import CallerError
from app.protocol import CountTokens, Generate, Render
from app.web.validation import explain

ErrorT = TypeVar("ErrorT", bound=CallerError)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat request.

    Args:
        data: its body.
        body: the same, validated.
    """

    data: bytes
    body: ChatRequest


def chat_of(fields: Mapping[str, Any], param_of: Callable[[str], str]) -> Chat:
    """Return the chat request that a dialect maps its own request to.

    Args:
        fields: those of OpenAI's chat body.
        param_of: returns the dialect's name of a field, such as `messages[0].content`; for errors.

    Raises:
        InvalidRequest: a value is invalid; `param` is the dialect's.
    """
    try:
        body = ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise renamed(explain(error, ChatRequest), param_of) from None
    return Chat(as_json(fields), body)


def renamed(error: ErrorT, param_of: Callable[[str], str]) -> ErrorT:
    """Return an error that names a field as the dialect does; of the same class."""
    if error.param is None:
        return error
    given, kind = error.param, type(error)
    changed = kind.__new__(kind, *error.args)  # constructors differ
    vars(changed).update(vars(error))
    changed.param = param_of(given)
    if error.message.startswith(f"{given}: "):
        changed.message = changed.param + error.message[len(given) :]
        changed.args = (changed.message,)
    return changed


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


def to_count(chat: Chat, request_id: str) -> CountTokens:
    """Return the engine's command that counts the tokens of a chat request's prompt.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    render = to_render(chat.data, chat.body, request_id)
    return CountTokens(
        request_id=request_id,
        messages=render.messages,
        tools=render.tools,
        template_kwargs=render.template_kwargs,
        prompt_end=render.prompt_end,
    )
