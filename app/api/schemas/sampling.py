"""Owns how a request says how tokens are chosen; must not know handlers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.schemas.common import SEED_MAX, StopStrings
from app.config.settings import SequenceBreakers

MAX_TOKENS = 1_000_000
MAX_BIASED_TOKENS = 1024


def _is_not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("must be at least 1, or -1 for no limit")
    return value


MaxTokens = Annotated[int, Field(ge=-1, le=MAX_TOKENS), AfterValidator(_is_not_zero)]


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
    repeat_last_n: int | None = Field(
        None, ge=-1, le=1_000_000, description="-1 is the whole context."
    )
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    top_n_sigma: float | None = Field(None, ge=-1, le=100, description="0 and -1 switch it off.")
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1, description="Above 0.5 it is off.")
    dry_multiplier: float | None = Field(None, ge=0, le=100, description="0 switches DRY off.")
    dry_base: float | None = Field(None, ge=1, le=100)
    dry_allowed_length: int | None = Field(None, ge=0, le=1_000_000)
    dry_penalty_last_n: int | None = Field(
        None, ge=-1, le=1_000_000, description="-1 is the whole context."
    )
    dry_sequence_breakers: SequenceBreakers | None = None
    dynatemp_range: float | None = Field(None, ge=0, le=100, description="0 switches it off.")
    dynatemp_exponent: float | None = Field(None, ge=0, le=100)
    mirostat: int | None = Field(None, ge=0, le=2, description="0 is off; or its version.")
    mirostat_tau: float | None = Field(None, ge=0, le=100)
    mirostat_eta: float | None = Field(None, ge=0, le=1)
    ignore_eos: bool | None = Field(None, description="Never end before max_tokens.")
    seed: int | None = Field(None, ge=-1, le=SEED_MAX, description="-1 is a random one.")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=MAX_BIASED_TOKENS
    )
    max_tokens: MaxTokens | None = Field(None, description="-1 is up to the context's end.")
    max_completion_tokens: MaxTokens | None = Field(None, description="Another name of max_tokens.")
    n_predict: MaxTokens | None = Field(None, description="Another name of max_tokens.")
    stop: StopStrings | None = None


class InferenceConfigs(Sampling):
    """The device client's place for sampling values; it wins over the top level."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
