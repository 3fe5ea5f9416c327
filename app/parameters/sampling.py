"""Owns the sampling parameters: the defaults are settings, a request overrides them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.parameters.row import Group

MAX_SEED = 2**63 - 1
_MAX_TOKENS = 2**24

row = Group("Sampling", "now", given_by={"setting", "request"})

SequenceBreaker = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=r"^[^\x00]*$")]
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """The sampling parameters, by llama-server's names."""

    temperature: Annotated[float, row("sampling temperature; 0 is greedy", ge=0, le=100)] = 0.8
    top_k: Annotated[
        int,
        row(
            "top-k: number of most likely tokens kept; 0 and -1 are off",
            clamps=True,
            ge=-1,
            le=1_000_000,
        ),
    ] = 40
    top_p: Annotated[float, row("top-p: probability mass kept; 1 is off", ge=0, le=1)] = 0.95
    min_p: Annotated[
        float,
        row("min-p: minimum probability relative to the most likely token; 0 is off", ge=0, le=1),
    ] = 0.05
    typical_p: Annotated[
        float, row("locally typical sampling: probability mass kept; 1 is off", gt=0, le=1)
    ] = 1.0
    repeat_penalty: Annotated[
        float,
        row("repetition penalty; 1 is off", aliases=("repetition_penalty",), gt=0, le=100),
    ] = 1.0
    repeat_last_n: Annotated[
        int,
        row(
            "tokens that the penalties look back on; -1 is the context window, 0 is off",
            clamps=True,
            ge=-1,
            le=_MAX_TOKENS,
        ),
    ] = 64
    frequency_penalty: Annotated[
        float, row("penalty per occurrence of a token; 0 is off", ge=-2, le=2)
    ] = 0.0
    presence_penalty: Annotated[
        float, row("penalty for tokens that have occurred; 0 is off", ge=-2, le=2)
    ] = 0.0
    top_n_sigma: Annotated[
        float,
        row(
            "top-n-sigma: standard deviations below the maximum logit that are kept; "
            "0 and -1 are off",
            ge=-1,
            le=100,
        ),
    ] = -1.0
    xtc_probability: Annotated[
        float, row("XTC: probability of removing the most likely tokens; 0 is off", ge=0, le=1)
    ] = 0.0
    xtc_threshold: Annotated[
        float,
        row("XTC: minimum probability of tokens to remove; above 0.5 is off", ge=0, le=1),
    ] = 0.1
    dry_multiplier: Annotated[float, row("DRY: penalty multiplier; 0 is off", ge=0, le=100)] = 0.0
    dry_base: Annotated[
        float, row("DRY: growth of the penalty per repeated token", ge=1, le=100)
    ] = 1.75
    dry_allowed_length: Annotated[
        int,
        row("DRY: length of repeats without penalty, in tokens", clamps=True, ge=0, le=1_000_000),
    ] = 2
    dry_penalty_last_n: Annotated[
        int,
        row(
            "DRY: tokens to look back on; -1 is the context window, 0 is off",
            clamps=True,
            ge=-1,
            le=_MAX_TOKENS,
        ),
    ] = 64
    dry_sequence_breakers: Annotated[
        list[SequenceBreaker],
        row("DRY: strings that end a repeated sequence", min_length=1, max_length=8),
    ] = msgspec.field(default_factory=lambda: list('\n:"*'))
    dynatemp_range: Annotated[float, row("dynamic temperature: range; 0 is off", ge=0, le=100)] = (
        0.0
    )
    dynatemp_exponent: Annotated[
        float, row("dynamic temperature: exponent of the entropy", ge=0, le=100)
    ] = 1.0
    mirostat: Annotated[int, row("Mirostat version; 0 is off", ge=0, le=2)] = 0
    mirostat_tau: Annotated[float, row("Mirostat: target entropy", ge=0, le=100)] = 5.0
    mirostat_eta: Annotated[float, row("Mirostat: learning rate", ge=0, le=1)] = 0.1
    seed: (
        Annotated[
            int,
            row("random seed; -1 is random", auto="-1", ge=-1, le=MAX_SEED),
        ]
        | None
    ) = None
    ignore_eos: Annotated[bool, row("ignore end-of-sequence tokens")] = False
    logit_bias: Annotated[
        dict[int, Bias],
        row("bias added to the logits of tokens, by id", given_by={"request"}, max_length=1024),
    ] = {}
