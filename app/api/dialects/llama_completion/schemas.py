"""Owns the request and response schemas of `/completion`; must not know handlers."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, RootModel, field_validator, model_validator

from app.api.schemas.answer import TimingsBody
from app.api.schemas.common import Lenient
from app.api.schemas.constraints import ConstraintFields
from app.api.schemas.raw_prompt import (
    MAX_PROMPT_CHARS,
    Prompts,
    PromptText,
    RawSamplingFields,
    separate,
)
from app.web.validation import field_error

MAX_PROBS = 20
MAX_ANSWERS = 16
MAX_RESULTS = 64
MAX_FIELDS = 64
MAX_EXTRA = 256
MAX_NAME_CHARS = 1024
_BANNED = -100.0  # `false` in llama-server's pairs
_RANDOM = -1
_RANDOM_SEED = 2**32 - 1  # llama.cpp's LLAMA_DEFAULT_SEED


class NativeFields(ConstraintFields, RawSamplingFields, Lenient):
    """The fields of a completion besides its prompt; the names are llama-server's."""

    model: str | None = Field(None, min_length=1, max_length=255)
    n_cmpl: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Answers to each prompt.")
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Another name of n_cmpl.")
    n_probs: int | None = Field(
        None,
        ge=0,
        le=MAX_PROBS,
        description="Most likely tokens to return for each; 0 for none.",
    )
    stream: bool | None = False
    return_tokens: bool | None = Field(None, description="Return the ids of generated tokens.")
    return_progress: bool | None = Field(None, description="Stream the progress of the prefill.")
    timings_per_token: bool | None = Field(
        None, description="Accepted; the last event of a stream has the timings."
    )
    response_fields: list[str] | None = Field(
        None, max_length=MAX_FIELDS, description='Fields to return, such as "timings/prompt_n".'
    )
    cache_prompt: bool | None = Field(None, description="Accepted; prompts are always cached.")
    id_slot: int | None = Field(None, ge=-1, le=2**31 - 1, description="Accepted; sent back.")
    samplers: list[str] | str | None = Field(
        None, description="Accepted; the order of samplers is llama.cpp's."
    )
    speculate: bool | None = Field(None, description="Whether speculative decoding may be used.")

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _pairs_are_an_object(cls, value: Any) -> Any:
        return dict(map(_bias, value)) if isinstance(value, list) else value

    @field_validator("seed")
    @classmethod
    def _default_seed_is_random(cls, value: int | None) -> int | None:
        return _RANDOM if value == _RANDOM_SEED else value

    @model_validator(mode="after")
    def _answers_fit(self) -> Self:
        if self.n_prompts * self.n_answers > MAX_RESULTS:
            field = "n" if self.n_cmpl is None else "n_cmpl"
            raise field_error(field, f"a request may have at most {MAX_RESULTS} answers in total")
        return self

    @property
    def n_answers(self) -> int:
        """How many answers to each prompt are generated."""
        return self.n_cmpl or self.n or 1

    @property
    def n_prompts(self) -> int:
        """How many prompts it has."""
        return 1


class NativeCompletionRequest(NativeFields):
    """Body of `POST /completion`."""

    prompt: Prompts = Field(description="A text, token ids, or up to 64 of these.")

    @field_validator("prompt", mode="before")
    @classmethod
    def _objects_are_texts(cls, value: Any) -> Any:
        if isinstance(value, list):
            return list(map(_text_of, value))
        return _text_of(value)

    @property
    def n_prompts(self) -> int:
        """How many prompts it has."""
        return len(separate(self.prompt))


class InfillExtra(Lenient):
    """Another text, such as an open file."""

    text: str = Field(max_length=MAX_PROMPT_CHARS)
    filename: str | None = Field(None, max_length=MAX_NAME_CHARS)


class InfillRequest(NativeFields):
    """Body of `POST /infill`."""

    prompt: PromptText | None = Field(None, description="What the middle begins with.")
    input_prefix: PromptText = Field(description="The text before the middle.")
    input_suffix: PromptText = Field(description="The text after the middle.")
    input_extra: list[InfillExtra] | None = Field(
        None, max_length=MAX_EXTRA, description="Other texts, the most important ones last."
    )


def _text_of(value: Any) -> Any:
    """Return the text of a prompt that is an object; other values unchanged."""
    if not isinstance(value, dict):
        return value
    if value.get("multimodal_data"):
        raise ValueError("multimodal_data is not supported")
    text = value.get("prompt_string")
    if not isinstance(text, str):
        raise ValueError("an object for a prompt needs a text as prompt_string")
    return text


def _bias(pair: Any) -> tuple[str, Any]:
    match pair:
        case [int(token), bias] if not isinstance(token, bool):
            return str(token), _BANNED if bias is False else bias
        case _:
            raise ValueError("each entry must be a pair of a token id and a number or false")


class NativeTopLogprob(BaseModel):
    """A token with its bytes and log probability."""

    id: int
    token: str
    bytes: list[int]
    logprob: float


class NativeTokenLogprob(NativeTopLogprob):
    """A generated token and the most likely alternatives."""

    top_logprobs: list[NativeTopLogprob]


class NativeTimings(TimingsBody):
    """Timings in milliseconds."""

    prompt_per_token_ms: float | None
    predicted_per_token_ms: float | None


class NativeCompletion(BaseModel):
    """One answer."""

    index: int
    content: str
    tokens: list[int] = Field(description="Only where `return_tokens` is true.")
    id_slot: int
    stop: Literal[True]
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    generation_settings: dict[str, Any]
    prompt: str
    has_new_line: bool
    truncated: bool = Field(description="Whether the context was full.")
    stop_type: Literal["eos", "limit", "word"]
    stopping_word: str
    tokens_cached: int
    timings: NativeTimings
    completion_probabilities: list[NativeTokenLogprob] | None = Field(
        None, description="Only where `n_probs` is not 0."
    )


class NativeCompletionResponse(RootModel[NativeCompletion | list[NativeCompletion]]):
    """Answer of `POST /completion` where `stream` is false; several answers are a list."""


class PropsResponse(BaseModel):
    """Answer of `GET /props`."""

    default_generation_settings: dict[str, Any]
    total_slots: int
    model_alias: str
    model_path: str = Field(description="The file's name, without its folder.")
    modalities: dict[str, bool]
    chat_template: str
    chat_template_caps: dict[str, bool]
    bos_token: str
    eos_token: str
    build_info: str
    endpoint_slots: bool
    endpoint_props: bool
    endpoint_metrics: bool
    is_sleeping: bool


class Slot(BaseModel):
    """A place for a request that is decoded."""

    id: int
    n_ctx: int = Field(description="Tokens of the context, which all slots share.")
    speculative: bool
    is_processing: bool


class SlotsResponse(RootModel[list[Slot]]):
    """Answer of `GET /slots`."""


class NativeError(BaseModel):
    """An error; `param` is added to llama-server's fields."""

    code: int = Field(description="The HTTP status.")
    message: str
    type: str
    param: str | None
    n_prompt_tokens: int | None = Field(None, description="Only of a prompt that is too long.")
    n_ctx: int | None = Field(None, description="Only with `n_prompt_tokens`.")


class NativeErrorBody(BaseModel):
    """Every error response of llama-server's endpoints."""

    error: NativeError
