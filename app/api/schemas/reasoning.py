"""Owns the reasoning fields of a request; must not know handlers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.config.row_fields import with_parameters
from app.parameters.answer import ReasoningDefaults
from app.parameters.names import spellings
from app.protocol import ReasoningParams


class ThinkingFields(BaseModel):
    """The reasoning fields that the chat template renders."""

    model_config = ConfigDict(strict=True)

    enable_thinking: bool | None = Field(
        None,
        description="Whether the model reasons first, if its template has the switch.",
    )
    reasoning_effort: str | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="Reasoning effort, as the chat template names it; `none` disables reasoning.",
    )

    def template_variables(self) -> dict[str, Any]:
        """Return the variables for the chat template that the request sets."""
        variables: dict[str, Any] = {}
        if self.reasoning_effort is not None:
            variables["reasoning_effort"] = self.reasoning_effort
        if self.reasoning_effort == "none":
            variables["enable_thinking"] = False
        if self.enable_thinking is not None:
            variables["enable_thinking"] = self.enable_thinking
        return variables


@with_parameters("request", ReasoningDefaults)
class ReasoningFields(BaseModel):
    """How reasoning is returned and limited."""

    model_config = ConfigDict(strict=True)

    reasoning_format: Literal["none", "auto", "deepseek"] | None = Field(
        None,
        description="`none` leaves it in the content; else it is in `reasoning_content`.",
    )

    reasoning_control: bool | None = Field(
        None,
        description="Whether `POST /chat/completions/control` may end the reasoning.",
    )

    def reasoning(self, default: ReasoningParams) -> ReasoningParams:
        """Return the reasoning parameters; missing ones are those of `default`."""
        is_split, budget = default.is_split, default.budget
        if self.reasoning_format is not None:
            is_split = self.reasoning_format != "none"
        given = (getattr(self, name) for name in spellings("reasoning_budget"))
        limit = next((each for each in given if each is not None), None)
        if limit is not None:
            budget = None if limit < 0 else limit
        is_controlled = bool(self.reasoning_control)
        return ReasoningParams(is_split=is_split, budget=budget, is_controlled=is_controlled)
