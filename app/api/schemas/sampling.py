"""Owns the sampling fields of a request; must not know handlers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app.api.schemas.common import StopStrings
from app.config.row_fields import with_parameters
from app.parameters.answer import AnswerParams
from app.parameters.sampling import SamplingParams


@with_parameters("request", SamplingParams, AnswerParams)
class SamplingFields(BaseModel):
    """The sampling parameters, by OpenAI's and llama-server's names."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    stop: StopStrings | None = None


class InferenceConfigs(SamplingFields):
    """The device client's object of sampling parameters, which wins over the top level."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
