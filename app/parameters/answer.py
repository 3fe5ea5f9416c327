"""Owns the parameters of an answer besides sampling: length, speculation, reasoning."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from app.parameters.row import Group

MAX_TOKENS = 2**24

row = Group("Answers", "now", given_by={"setting"})
sampling_row = Group("Sampling", "now", given_by={"setting", "request"})


class AnswerParams(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may be and how its tokens are decoded.

    The field of a request for `speculation` is `speculate`.
    """

    max_tokens: (
        Annotated[
            int,
            sampling_row(
                "maximum number of generated tokens; -1 is up to the end of the context",
                aliases=("max_completion_tokens", "n_predict"),
                auto="-1",
                refused={0: "must be at least 1, or -1 for no limit"},
                clamps=True,
                allowed=f"a whole number from 1 to {MAX_TOKENS}, or -1",
                ge=-1,
                le=MAX_TOKENS,
            ),
        ]
        | None
    ) = None
    max_tokens_limit: (
        Annotated[
            int,
            row(
                "maximum number of generated tokens, whatever a request asks for",
                auto="no limit",
                ge=1,
                le=MAX_TOKENS,
            ),
        ]
        | None
    ) = None
    speculation: Annotated[bool, row("speculative decoding from the prompt")] = True


class ReasoningDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """How reasoning is returned; requests also accept llama-server's format `deepseek`."""

    reasoning_format: Annotated[
        Literal["auto", "none"],
        row("auto separates reasoning from the content, none leaves it in the content"),
    ] = "auto"
    reasoning_budget: (
        Annotated[
            int,
            row(
                "maximum number of reasoning tokens; -1 is unlimited",
                given_by={"setting", "request"},
                aliases=("reasoning_budget_tokens", "thinking_budget_tokens"),
                clamps=True,
                auto="-1",
                ge=-1,
                le=MAX_TOKENS,
            ),
        ]
        | None
    ) = None
