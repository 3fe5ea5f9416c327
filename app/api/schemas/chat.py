"""Owns the request schema of `/chat/completions`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from app.api.schemas.common import Lenient, LoadModelConfigs
from app.api.schemas.constraints import ConstraintFields
from app.api.schemas.conversation import ConversationFields
from app.api.schemas.reasoning import ReasoningFields
from app.api.schemas.sampling import InferenceConfigs, SamplingFields
from app.api.schemas.tools import ToolChoiceBody, chosen
from app.protocol import ToolChoice
from app.web.validation import field_error

MAX_TOP_LOGPROBS = 20
MAX_ANSWERS = 16


class StreamOptions(Lenient):
    """Options of a streamed answer."""

    include_usage: bool | None = None


def _is_superseded(value: Any) -> Any:
    if value:
        raise ValueError("is not supported; use tools and tool_choice")
    return value


def _is_no_audio(value: Any) -> Any:
    if value is not None:
        raise ValueError("is not supported; answers are text only")
    return value


Superseded = Annotated[Any, AfterValidator(_is_superseded)]
NoAudio = Annotated[Any, AfterValidator(_is_no_audio)]


class ChatRequest(ConversationFields, ConstraintFields, ReasoningFields, SamplingFields):
    """Body of `POST /chat/completions`: OpenAI's fields and the device client's."""

    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tool_choice: ToolChoiceBody | None = Field(
        None, description="Whether to call tools, and which."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Whether an answer may contain several tool calls; true by default."
    )
    functions: Superseded = Field(None, json_schema_extra={"deprecated": True})
    function_call: Superseded = Field(None, json_schema_extra={"deprecated": True})
    modalities: list[Literal["text"]] | None = None
    audio: NoAudio = None
    speculate: bool | None = Field(None, description="Whether speculative decoding may be used.")
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Number of answers.")
    return_progress: bool | None = Field(
        None, description="Stream the progress of the prefill, as llama-server does."
    )
    explain_cache: bool | None = Field(
        None, description="Return how much of the prompt was cached, and where it differed."
    )
    logprobs: bool | None = Field(None, description="Return log probabilities of the tokens.")
    top_logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_TOP_LOGPROBS,
        description="Most likely tokens to return for each.",
    )
    inference_configs: InferenceConfigs | None = None
    load_model_configs: LoadModelConfigs | None = None

    @field_validator("top_logprobs")
    @classmethod
    def _needs_logprobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            raise ValueError("needs logprobs to be true")
        return value

    @model_validator(mode="after")
    def _tool_choice_fits(self) -> Self:
        choice = self.chosen_tools
        offered = {tool.function.name for tool in self.tools or ()}
        for name in choice.names:
            if name not in offered:
                raise field_error("tool_choice", f"'{name}' is not one of the tools")
        if choice.is_required and not offered:
            raise field_error("tool_choice", "a tool call is required, but there are no tools")
        if choice.is_required and self.constraint:
            reason = f"a required tool call cannot be combined with {self.constraint.param}"
            raise field_error("tool_choice", reason)
        return self

    @property
    def chosen_tools(self) -> ToolChoice:
        """Which tools may or must be called."""
        return chosen(self.tool_choice, parallel=self.parallel_tool_calls is not False)

    @property
    def n_logprobs(self) -> int | None:
        """The number of most likely tokens to return for each; None disables logprobs."""
        return self.top_logprobs or 0 if self.logprobs else None

    @property
    def offers_tools(self) -> bool:
        """Whether the tools are part of the prompt."""
        return self.tool_choice != "none"
