"""Owns the request schema of `/responses`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from app.api.schemas.chat import MAX_TOP_LOGPROBS
from app.api.schemas.common import Lenient
from app.api.schemas.json_schema import BoundedSchema
from app.api.schemas.sampling import SamplingFields
from app.base.json_types import JsonObject
from app.web.validation import field_error

MAX_ITEMS = 16_384
ENCRYPTED_REASONING = "reasoning.encrypted_content"
TEXT_LOGPROBS = "message.output_text.logprobs"
_MODES = ("none", "auto", "required")


def _is_input(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("must be text or a list of items")
    return value


def _or_none(value: Any) -> Any:
    return None if value == "" else value


def _is_choice(value: Any) -> Any:
    is_object = isinstance(value, dict) and isinstance(value.get("type"), str)
    if value is None or is_object or value in _MODES:
        return value
    raise ValueError('must be "none", "auto", "required" or an object with a type')


Input = Annotated[str | list[JsonObject], BeforeValidator(_is_input)]
StoredId = Annotated[str | None, BeforeValidator(_or_none)]
ToolChoiceValue = Annotated[str | JsonObject | None, BeforeValidator(_is_choice)]


class ReasoningOptions(Lenient):
    """How much the model reasons, and whether clients are shown it as a summary."""

    effort: str | None = Field(None, max_length=32)
    summary: str | None = Field(
        None, description="Anything but `none` returns the thoughts as the item's summary."
    )
    generate_summary: str | None = Field(None, json_schema_extra={"deprecated": True})

    @property
    def shows_summary(self) -> bool:
        """Whether thoughts are returned as a summary; else as open text."""
        return (self.summary or self.generate_summary or "none") != "none"


class TextFormat(Lenient):
    """The form of the answer's text."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: BoundedSchema | None = Field(None, alias="schema")
    strict: bool | None = Field(
        None, description="If true, a schema with keywords that cannot be enforced is refused."
    )

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and self.schema_ is None:
            raise field_error("text.format.schema", 'is required if type is "json_schema"')
        return self


class TextOptions(Lenient):
    """Options of the answer's text."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesRequest(SamplingFields, Lenient):
    """Body of `POST /responses`: OpenAI's fields, and the sampling fields of the other dialects."""

    model: str | None = Field(None, min_length=1, max_length=255)
    input: Input | None = Field(
        None, description="A text, or items: messages, calls, their outputs and reasoning."
    )
    instructions: str | None = None
    previous_response_id: StoredId = Field(None, max_length=255)
    conversation: Any = None
    prompt: Any = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = False
    include: list[str] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    tools: list[JsonObject] | None = Field(
        None, description="Of the types `function`, `custom` and `namespace`; others are ignored."
    )
    tool_choice: ToolChoiceValue = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: JsonObject | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if self.input is None and self.previous_response_id is None:
            raise field_error("input", "is required: text or a list of items")
        if isinstance(self.input, list) and len(self.input) > MAX_ITEMS:
            raise field_error("input", f"may have at most {MAX_ITEMS} items")
        return self

    @property
    def items(self) -> list[JsonObject]:
        """The input as items."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return self.input or []

    @property
    def shows_summary(self) -> bool:
        """Whether thoughts are returned as a summary; else as open text."""
        return self.reasoning is not None and self.reasoning.shows_summary

    @property
    def encrypts_reasoning(self) -> bool:
        """Whether reasoning items carry their thoughts back in `encrypted_content`."""
        return ENCRYPTED_REASONING in (self.include or ())

    @property
    def n_logprobs(self) -> int | None:
        """The number of most likely tokens to return for each; None disables logprobs."""
        if self.top_logprobs or TEXT_LOGPROBS in (self.include or ()):
            return self.top_logprobs or 0
        return None
