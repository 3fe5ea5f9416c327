"""Owns the request schema of `/v1/messages`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from app.api.dialects.anthropic.blocks import Blocks, TextBlocks, n_blocks
from app.api.schemas.common import Lenient, StopString
from app.api.schemas.json_schema import BoundedSchema, ShallowSchema
from app.api.schemas.tools import MAX_TOOLS
from app.config.row_fields import with_parameters
from app.parameters.answer import AnswerParams
from app.parameters.sampling import SamplingParams
from app.web.validation import field_error

MAX_BLOCKS = 16384  # each takes some 40 µs to read


class MessageBody(Lenient):
    """One turn; `system` may stand anywhere among them."""

    role: Literal["user", "assistant", "system"]
    content: str | Blocks | None = None
    clear_at: str | None = Field(
        None,
        description="`next_user_message` hides a system message once a later user message follows.",
    )


class CustomTool(Lenient):
    """A tool that the client runs."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: ShallowSchema | None = None
    strict: bool | None = Field(
        None, description="Refuse a schema with keywords that cannot be enforced."
    )
    cache_control: Any = None


class ServerTool(Lenient):
    """A tool that Anthropic runs, such as `web_search_20250305`; it is left out."""

    type: str
    name: str | None = None


def _form_of_tool(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    is_server = isinstance(kind, str) and kind != "custom"
    return "(server)" if is_server else "(custom)"


# Tags of unions stand in brackets: app/web/validation.py leaves them out of a field's name.
Tool = Annotated[
    Annotated[CustomTool, Tag("(custom)")] | Annotated[ServerTool, Tag("(server)")],
    Discriminator(_form_of_tool),
]


class ToolChoiceBody(Lenient):
    """Whether tools may or must be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, description="The tool to call, if type is `tool`.")
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _has_its_name(self) -> Self:
        if self.type == "tool" and self.name is None:
            raise field_error("tool_choice.name", 'is required if type is "tool"')
        return self


class ThinkingBody(Lenient):
    """Whether the model reasons before it answers; without it, it does not."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: int | None = Field(
        None, ge=0, description="Maximum number of reasoning tokens, if type is `enabled`."
    )


class OutputFormat(Lenient):
    """The form of the answer."""

    type: Literal["json_schema"]
    schema_: BoundedSchema = Field(alias="schema")


class OutputConfig(Lenient):
    """Effort and form of the answer."""

    effort: str | None = Field(
        None, description="Reasoning effort for the chat template; `xhigh` and `max` are `high`."
    )
    format: OutputFormat | None = None


class ThreadBody(Lenient):
    """A conversation that the server is asked to keep."""

    type: Literal["create", "continue"]
    previous_message_id: str | None = None


@with_parameters("request", SamplingParams, AnswerParams, takes_refused=True)
class MessagesRequest(Lenient):
    """Body of `POST /v1/messages`; the service's own sampling fields are taken too."""

    model: str | None = Field(None, min_length=1, max_length=255)
    messages: list[MessageBody] = Field(min_length=1, max_length=4096)
    system: str | TextBlocks | None = None
    stream: bool | None = False
    stop_sequences: list[StopString] | None = None
    tools: list[Tool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolChoiceBody | None = None
    thinking: ThinkingBody | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = Field(
        None, description="The older place of `output_config.format`."
    )
    cache_control: Any = Field(
        None, description="Marks the end of the conversation as a prefix to cache."
    )
    thread: ThreadBody | None = Field(
        None, description="Has the service keep the conversation, or goes on with one it keeps."
    )

    @field_validator("messages", mode="before")
    @classmethod
    def _are_a_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("must be a list of messages, each with role and content")
        if n_blocks(value) > MAX_BLOCKS:
            raise ValueError(f"messages and blocks may be at most {MAX_BLOCKS} in total")
        return value

    @field_validator("system", mode="before")
    @classmethod
    def _has_few_blocks(cls, value: Any) -> Any:
        if n_blocks(value) > MAX_BLOCKS:
            raise ValueError(f"blocks may be at most {MAX_BLOCKS}")
        return value

    @property
    def is_prefill(self) -> bool:
        """Whether nothing is to be generated: `max_tokens` is 0."""
        return getattr(self, "max_tokens", None) == 0

    @property
    def format(self) -> tuple[str, OutputFormat] | None:
        """The form of the answer with the name of its field; None is free text."""
        if self.output_config and self.output_config.format:
            return "output_config.format", self.output_config.format
        return ("output_format", self.output_format) if self.output_format else None
