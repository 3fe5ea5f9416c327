"""Owns the shapes that several endpoints share; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from app.config.row_fields import with_parameters
from app.parameters.cache_types import PLAIN_TYPES
from app.parameters.load import LoadParams

MAX_STOPS = 16
MAX_STOP_CHARS = 1024

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


@with_parameters("load", LoadParams)
class LoadModelConfigs(Strict):
    """Load parameters; used only if the model has to be loaded."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    fit: Literal["auto", "strict"] | None = Field(
        None,
        description="`auto` lowers n_ctx to fit into memory, `strict` refuses the load.",
    )

    @model_validator(mode="after")
    def _quantised_values_need_flash_attention(self) -> Self:
        given = self.overrides()
        is_plain = given.get("type_v", "f16") in PLAIN_TYPES
        if given.get("flash_attn") is False and not is_plain:
            raise ValueError("a quantised type_v needs flash_attn")
        return self

    def overrides(self) -> dict[str, Any]:
        """Return the parameters that were given a value."""
        return self.model_dump(exclude_none=True)


class ErrorDetail(BaseModel):
    """An error, as OpenAI's clients expect it."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error response; `detail` repeats the message for the device's older clients."""

    error: ErrorDetail
    detail: str
