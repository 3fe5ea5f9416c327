"""Owns the shape of a conversation: messages, tools and how its prompt ends."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from app.api.schemas.common import Lenient, LoadModelConfigs
from app.api.schemas.reasoning import ThinkingFields
from app.api.schemas.sampling import InferenceConfigs
from app.api.schemas.tools import MAX_TOOLS, ToolDefinition, check_tools


class ContentPart(BaseModel):
    """A part of a message; only text is supported."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


class FunctionCall(BaseModel):
    """A function and its arguments, as JSON text or as an object."""

    model_config = ConfigDict(extra="allow")

    name: str
    arguments: str | dict[str, Any] = ""


class ToolCall(BaseModel):
    """A call the assistant made earlier in the conversation."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One message of the conversation; unknown keys reach the chat template."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


def _is_continued(value: Any) -> Any:
    if value is None or isinstance(value, bool) or value in _CONTINUED_PARTS:
        return value
    raise ValueError('must be true, false, "content" or "reasoning"')


_CONTINUED_PARTS = ("content", "reasoning", "reasoning_content")
ContinuedPart = Annotated[
    bool | Literal["content", "reasoning", "reasoning_content"], BeforeValidator(_is_continued)
]


class ConversationFields(ThinkingFields, Lenient):
    """The fields that the chat template renders."""

    model: str | None = Field(None, min_length=1, max_length=255)
    messages: list[ChatMessage] = Field(min_length=1, max_length=4096)
    tools: list[ToolDefinition] | None = Field(None, max_length=MAX_TOOLS)
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = Field(
        None, description="Whether the prompt ends with the opening of an answer; true by default."
    )
    continue_final_message: ContinuedPart | None = Field(
        None,
        description="Continue the last message, which must be the assistant's: its `content`, its "
        "`reasoning`, or (true) the reasoning where it has no content.",
    )

    @field_validator("messages", mode="before")
    @classmethod
    def _are_a_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("must be a list of messages, each with role and content")
        return value

    @model_validator(mode="after")
    def _tools_fit_together(self) -> Self:
        check_tools(self.tools or [])
        return self

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """The variables for the chat template; `chat_template_kwargs` win."""
        return {**self.template_variables(), **(self.chat_template_kwargs or {})}

    def plain_messages(self) -> list[dict[str, Any]]:
        """Return the messages as objects with the fields that the client sent."""
        return [message.model_dump(exclude_unset=True) for message in self.messages]

    def plain_tools(self) -> list[dict[str, Any]]:
        """Return the tools as objects with the fields that the client sent."""
        return [tool.model_dump(exclude_unset=True) for tool in self.tools or ()]


class RestoreCacheRequest(ConversationFields):
    """Body of `POST /restore_cache`: the conversation to prefill."""

    inference_configs: InferenceConfigs | None = None
    load_model_configs: LoadModelConfigs | None = None
