"""Owns the shapes that several endpoints share; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from app.config.settings import CacheType

MAX_STOPS = 16
MAX_STOP_CHARS = 1024
SEED_MAX = 2**63 - 1

StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]


def _form_of_stop(value: Any) -> str:
    return "(several)" if isinstance(value, list) else "(one)"


# Tags of unions stand in brackets: app/web/validation.py leaves them out of a field's name.
StopStrings = Annotated[
    Annotated[StopString, Tag("(one)")]
    | Annotated[list[StopString], Field(max_length=MAX_STOPS), Tag("(several)")],
    Discriminator(_form_of_stop),
]


class Strict(BaseModel):
    """Refuses unknown keys and silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Lenient(BaseModel):
    """Ignores unknown keys, as OpenAI-compatible servers do; converts nothing silently."""

    model_config = ConfigDict(extra="ignore", strict=True)


class LoadModelConfigs(Strict):
    """How to load a model; counts only when a load happens."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    n_ctx: int | None = Field(
        None, ge=256, le=2**24, description="Context window in tokens; clamped to fit."
    )
    n_gpu_layers: int | None = Field(
        None, ge=-1, le=9999, description="Layers on the GPU; -1 means all."
    )
    n_batch: int | None = Field(None, ge=32, le=8192, description="Tokens per decode call.")
    n_ubatch: int | None = Field(None, ge=32, le=8192, description="Tokens per compute step.")
    n_threads: int | None = Field(None, ge=1, le=1024, description="Threads while generating.")
    n_threads_batch: int | None = Field(None, ge=1, le=1024, description="Threads in prefill.")
    use_mmap: bool | None = Field(None, description="Map the file instead of reading it.")
    use_mlock: bool | None = Field(None, description="Keep the model in RAM.")
    flash_attn: bool | None = Field(
        None, description="Flash attention; null lets llama.cpp choose."
    )
    type_k: CacheType | None = Field(None, description="Type of the keys in the KV cache.")
    type_v: CacheType | None = Field(None, description="Type of the values in the KV cache.")
    rope_freq_base: float | None = Field(None, gt=0)
    rope_freq_scale: float | None = Field(None, gt=0)
    seed: int | None = Field(
        None, ge=0, le=SEED_MAX, description="Default seed of requests; the setting otherwise."
    )
    verbose: bool | None = Field(None, description="Log all that llama.cpp says.")
    chat_template: str | None = Field(
        None, min_length=1, max_length=262_144, description="Jinja source, instead of the file's."
    )
    tool_format: str | None = Field(
        None, min_length=1, max_length=64, description="How the model writes tool calls."
    )

    fit: Literal["auto", "strict"] | None = Field(
        None, description="Whether n_ctx is lowered to what fits, or a larger one refused."
    )

    @model_validator(mode="after")
    def _quantised_values_need_flash_attention(self) -> Self:
        if self.flash_attn is False and self.type_v not in (None, "f32", "f16", "bf16"):
            raise ValueError("a quantised type_v needs flash_attn")
        return self

    def overrides(self) -> dict[str, Any]:
        """Return the parameters that were given a value."""
        return self.model_dump(exclude_none=True)


class ErrorDetail(BaseModel):
    """What went wrong, as OpenAI's clients expect it."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error response; `detail` repeats the message for the device's older clients."""

    error: ErrorDetail
    detail: str
