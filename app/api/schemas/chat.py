"""Owns the shapes of `/chat/completions` and `/restore_cache`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.api.schemas.cache import CacheBody, CacheTier
from app.api.schemas.common import SEED_MAX, Lenient, LoadModelConfigs, StopStrings, Strict

MAX_TOKENS = 1_000_000
MAX_ANSWERS = 16


class ContentPart(BaseModel):
    """A part of a message; text is what this service can show to a model."""

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


class Message(BaseModel):
    """One message of the conversation; unknown keys reach the chat template."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(BaseModel):
    """A function the model may call."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """A tool the model may use."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"]
    function: Function


class Sampling(BaseModel):
    """How tokens are chosen; the names are OpenAI's and llama-server's."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    temperature: float | None = Field(None, ge=0, le=100, description="0 always takes the best.")
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000, description="0 and -1 switch it off.")
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, gt=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=100)
    repetition_penalty: float | None = Field(
        None, gt=0, le=100, description="Another name of repeat_penalty."
    )
    repeat_last_n: int | None = Field(None, ge=0, le=1_000_000)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=0, le=SEED_MAX)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    stop: StopStrings | None = None


class InferenceConfigs(Sampling):
    """The device client's place for sampling values; it wins over the top level."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Lenient):
    """Options of a streamed answer."""

    include_usage: bool | None = None


class ResponseFormat(Lenient):
    """The form of the answer; only plain text is supported so far."""

    type: Literal["text"]


class Conversation(Lenient):
    """What the chat template sees."""

    model: str | None = Field(None, min_length=1, max_length=255)
    messages: list[Message] = Field(min_length=1, max_length=4096)
    tools: list[Tool] | None = Field(None, max_length=512)
    chat_template_kwargs: dict[str, Any] | None = None

    @field_validator("messages", mode="before")
    @classmethod
    def _are_a_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("must be a list of messages, each with role and content")
        return value

    def raw_messages(self) -> list[dict[str, Any]]:
        """Return the messages as the client sent them."""
        return [message.model_dump(exclude_unset=True) for message in self.messages]

    def raw_tools(self) -> list[dict[str, Any]]:
        """Return the tools as the client sent them."""
        return [tool.model_dump(exclude_unset=True) for tool in self.tools or ()]


class ChatRequest(Conversation, Sampling):
    """Body of `POST /chat/completions`: OpenAI's fields and the device client's."""

    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tool_choice: Literal["auto", "none"] | None = Field(
        None, description="`required` and a named function are not supported yet."
    )
    parallel_tool_calls: bool | None = Field(None, description="Accepted, without effect yet.")
    response_format: ResponseFormat | None = None
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Answers to one prompt.")
    return_progress: bool | None = Field(
        None, description="Stream how far the prefill is, as llama-server does."
    )
    explain_cache: bool | None = Field(
        None, description="Say what the prompt cache had of the prompt, and where it parted."
    )
    logprobs: Literal[False] | None = None
    inference_configs: InferenceConfigs | None = None
    load_model_configs: LoadModelConfigs | None = None

    @property
    def offered_tools(self) -> list[dict[str, Any]]:
        """The tools the model gets to see."""
        return [] if self.tool_choice == "none" else self.raw_tools()


class RestoreCacheRequest(Conversation):
    """Body of `POST /restore_cache`: the conversation to have ready."""

    inference_configs: InferenceConfigs | None = None
    load_model_configs: LoadModelConfigs | None = None


class RestoreCacheResponse(Strict):
    """What the prompt cache holds of the conversation now."""

    status: Literal["ok"]
    message: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    tier: CacheTier
    saved: bool = Field(description="Whether it is on disk.")


class AnswerFunction(BaseModel):
    """A function the model calls; `arguments` is JSON text."""

    name: str
    arguments: str


class AnswerToolCall(BaseModel):
    """A tool call of the answer."""

    id: str
    type: Literal["function"]
    function: AnswerFunction


class AnswerMessage(BaseModel):
    """The assistant's answer."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[AnswerToolCall] | None = None


class Choice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls"]


class PromptTokensDetails(BaseModel):
    """How many prompt tokens the prompt cache saved."""

    cached_tokens: int


class UsageBody(BaseModel):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class TimingsBody(BaseModel):
    """Where the time went, in milliseconds; names are llama-server's."""

    queue_ms: float
    ttft_ms: float
    tier: CacheTier
    restore_ms: float
    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_second: float | None
    predicted_n: int
    predicted_ms: float
    predicted_per_second: float | None


class ChatResponse(BaseModel):
    """Answer of `POST /chat/completions` where `stream` is false."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageBody
    timings: TimingsBody
    cache: CacheBody | None = Field(None, description="Only where `explain_cache` is true.")
