"""Owns the request schemas of `/api/chat` and `/api/generate`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from app.api.dialects.ollama.duration import seconds_of
from app.api.schemas.common import Lenient
from app.api.schemas.constraints import ConstraintFields
from app.api.schemas.json_schema import BoundedSchema
from app.api.schemas.raw_prompt import (
    MAX_PROMPT_CHARS,
    MAX_PROMPT_TOKENS,
    RawSamplingFields,
)
from app.api.schemas.service import TokenId

MAX_MESSAGES = 4096
MAX_CALLS = 512
MAX_TOP_LOGPROBS = 20
MAX_NAME_CHARS = 255

_EFFORTS = ("low", "medium", "high", "max")
_SWITCHES = {"true": True, "false": False, "none": False}


def _no_images(value: Any) -> Any:
    if value:
        raise ValueError("images are not supported; send text only")
    return None


def _think(value: Any) -> Any:
    if isinstance(value, str):
        value = _SWITCHES.get(value.lower(), value.lower())
    if value in (None, "", True, False, *_EFFORTS):
        return None if value == "" else value
    raise ValueError('must be true, false, "low", "medium", "high" or "max"')


def _format(value: Any) -> Any:
    if value is None or value == "":
        return None
    if value == "json" or isinstance(value, dict):
        return value
    raise ValueError('must be "json" or a JSON schema')


NoImages = Annotated[
    list[Any] | None, Field(description="Refused unless empty."), BeforeValidator(_no_images)
]
Think = Annotated[
    bool | str | None,
    Field(description='Whether the model reasons first; "low" to "max" is how much.'),
    BeforeValidator(_think),
]
Format = Annotated[
    str | BoundedSchema | None,
    Field(description='"json", or a JSON schema for the answer.'),
    BeforeValidator(_format),
]
KeepAlive = Annotated[
    Any,
    Field(description='Seconds, or a duration such as "5m"; negative is for ever.'),
    AfterValidator(seconds_of),
]


class OllamaFields(Lenient):
    """The fields of both endpoints."""

    model: str | None = Field(None, max_length=MAX_NAME_CHARS)
    stream: bool | None = Field(None, description="True by default.")
    format: Format = None
    options: dict[str, Any] | None = Field(
        None, description="Sampling parameters; those of a load are ignored."
    )
    think: Think = None
    keep_alive: KeepAlive = None
    logprobs: bool | None = Field(None, description="Return log probabilities of the tokens.")
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_LOGPROBS, description="Most likely tokens to return for each."
    )
    truncate: Any = Field(None, description="Ignored: a prompt that is too long is refused.")
    shift: Any = Field(None, description="Ignored: an answer ends where the context is full.")

    @property
    def streams(self) -> bool:
        """Whether the answer is streamed."""
        return self.stream is not False

    @property
    def is_unload(self) -> bool:
        """Whether the model may leave memory at once."""
        return bool(self.keep_alive == 0)


class CalledFunction(Lenient):
    """A function and its arguments: an object, or JSON text."""

    name: str
    arguments: dict[str, Any] | str | None = None


class OllamaToolCall(Lenient):
    """A call of an earlier answer."""

    id: str | None = None
    function: CalledFunction


class OllamaMessage(Lenient):
    """One message of a conversation."""

    role: Annotated[str, AfterValidator(str.lower)]
    content: str | None = None
    thinking: str | None = None
    images: NoImages = None
    tool_calls: list[OllamaToolCall] | None = Field(None, max_length=MAX_CALLS)
    tool_name: str | None = Field(None, description="Of a result: the tool that was called.")
    tool_call_id: str | None = Field(None, description="Of a result: the call.")
    name: str | None = Field(None, description="Another name of tool_name.")


class OllamaChatRequest(OllamaFields):
    """Body of `POST /api/chat`; without messages, the model is loaded."""

    messages: list[OllamaMessage] | None = Field(None, max_length=MAX_MESSAGES)
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = Field(None, description="As in chat completions; Ollama has none.")


class OllamaGenerateRequest(OllamaFields):
    """Body of `POST /api/generate`; without a prompt, the model is loaded."""

    prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARS)
    suffix: str | None = Field(
        None, max_length=MAX_PROMPT_CHARS, description="Text after the answer (fill-in-the-middle)."
    )
    system: str | None = Field(None, max_length=MAX_PROMPT_CHARS)
    template: str | None = Field(None, description="Refused unless empty.")
    context: list[TokenId] | None = Field(
        None, max_length=MAX_PROMPT_TOKENS, description="That of an answer, to go on after it."
    )
    raw: bool | None = Field(None, description="Whether the prompt is used as it is.")
    images: NoImages = None


class RawAnswerFields(ConstraintFields, RawSamplingFields, Lenient):
    """How the answer to a raw prompt is made, by the names of a chat body."""

    logprobs: bool | None = None
    top_logprobs: int | None = None


class OllamaTokenizeRequest(OllamaFields):
    """Body of `POST /api/tokenize`."""

    content: str = Field(max_length=MAX_PROMPT_CHARS)


class OllamaDetokenizeRequest(OllamaFields):
    """Body of `POST /api/detokenize`."""

    tokens: list[TokenId] = Field(max_length=MAX_PROMPT_TOKENS)
