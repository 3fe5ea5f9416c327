"""Owns which samplers a request needs and in what order; must not know llama.cpp.

The order is llama.cpp's own default: bias, penalties, top-k, typical, top-p, min-p,
temperature, draw.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol import SamplingParams

_RANDOM_SEED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Stage:
    """One sampler: the name behind `llama_sampler_init_` and its arguments."""

    name: str
    values: tuple[float | int, ...] = ()
    biases: tuple[tuple[int, float], ...] = ()


def penalises(params: SamplingParams) -> bool:
    """Say whether the request looks at the tokens so far."""
    return params.repeat_last_n != 0 and (
        params.repeat_penalty != 1.0
        or params.frequency_penalty != 0.0
        or params.presence_penalty != 0.0
    )


def stages(params: SamplingParams) -> list[Stage]:
    """Return the chain for a request; samplers that would change nothing are left out."""
    chain: list[Stage] = []
    if params.logit_bias:
        chain.append(Stage("logit_bias", biases=tuple(sorted(params.logit_bias.items()))))
    if penalises(params):
        chain.append(
            Stage(
                "penalties",
                (
                    params.repeat_last_n,
                    params.repeat_penalty,
                    params.frequency_penalty,
                    params.presence_penalty,
                ),
            )
        )
    if params.temperature <= 0.0:
        return [*chain, Stage("greedy")]
    if params.top_k > 0:
        chain.append(Stage("top_k", (params.top_k,)))
    if params.typical_p < 1.0:
        chain.append(Stage("typical", (params.typical_p, 1)))
    if params.top_p < 1.0:
        chain.append(Stage("top_p", (params.top_p, 1)))
    if params.min_p > 0.0:
        chain.append(Stage("min_p", (params.min_p, 1)))
    chain.append(Stage("temp", (params.temperature,)))
    chain.append(Stage("dist", (_RANDOM_SEED if params.seed is None else params.seed,)))
    return chain
