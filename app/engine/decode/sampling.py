"""Owns which samplers a request needs and in what order; must not know llama.cpp.

The order is llama.cpp's own default: bias, penalties, DRY, top-n-sigma, top-k, typical, top-p,
min-p, XTC, temperature, draw; with Mirostat: bias, temperature, Mirostat.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol import SamplingParams

_RANDOM_SEED = 0xFFFFFFFF
_XTC_OFF_ABOVE = 0.5
_MIROSTAT_M = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """One sampler: the name behind `llama_sampler_init_` and its arguments."""

    name: str
    values: tuple[float | int, ...] = ()
    biases: tuple[tuple[int, float], ...] = ()
    texts: tuple[str, ...] = ()


def history_length(params: SamplingParams) -> int:
    """Return how many of the tokens so far the samplers want to know; 0 is none."""
    if _is_mirostat(params):
        return 0
    n_penalties = params.repeat_last_n if _penalises(params) else 0
    n_dry = params.dry_penalty_last_n if _is_dry(params) else 0
    return max(n_penalties, n_dry)


def stages(params: SamplingParams) -> list[Stage]:
    """Return the chain for a request; samplers that would change nothing are left out."""
    chain = _biases(params)
    seed = _RANDOM_SEED if params.seed is None else params.seed
    if _is_mirostat(params):
        return [*chain, Stage("temp", (params.temperature,)), _mirostat(params, seed)]
    chain += _penalties(params)
    if params.temperature <= 0.0:
        return [*chain, Stage("greedy")]
    return [*chain, *_cuts(params, seed), _temperature(params), Stage("dist", (seed,))]


def _is_mirostat(params: SamplingParams) -> bool:
    return params.mirostat != 0 and params.temperature > 0.0


def _penalises(params: SamplingParams) -> bool:
    return params.repeat_last_n != 0 and (
        params.repeat_penalty != 1.0
        or params.frequency_penalty != 0.0
        or params.presence_penalty != 0.0
    )


def _is_dry(params: SamplingParams) -> bool:
    return params.dry_multiplier > 0.0 and params.dry_penalty_last_n > 0


def _biases(params: SamplingParams) -> list[Stage]:
    chain = []
    if params.logit_bias:
        chain.append(Stage("logit_bias", biases=tuple(sorted(params.logit_bias.items()))))
    if params.ignore_eos:
        chain.append(Stage("ignore_eos"))
    return chain


def _penalties(params: SamplingParams) -> list[Stage]:
    chain = []
    if _penalises(params):
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
    if _is_dry(params):
        chain.append(
            Stage(
                "dry",
                (
                    params.dry_multiplier,
                    params.dry_base,
                    params.dry_allowed_length,
                    params.dry_penalty_last_n,
                ),
                texts=tuple(params.dry_sequence_breakers),
            )
        )
    return chain


def _cuts(params: SamplingParams, seed: int) -> list[Stage]:
    """Return what takes tokens out of the draw."""
    wanted = (
        (params.top_n_sigma > 0.0, Stage("top_n_sigma", (params.top_n_sigma,))),
        (params.top_k > 0, Stage("top_k", (params.top_k,))),
        (params.typical_p < 1.0, Stage("typical", (params.typical_p, 1))),
        (params.top_p < 1.0, Stage("top_p", (params.top_p, 1))),
        (params.min_p > 0.0, Stage("min_p", (params.min_p, 1))),
        (
            params.xtc_probability > 0.0 and params.xtc_threshold <= _XTC_OFF_ABOVE,
            Stage("xtc", (params.xtc_probability, params.xtc_threshold, 1, seed)),
        ),
    )
    return [stage for is_wanted, stage in wanted if is_wanted]


def _temperature(params: SamplingParams) -> Stage:
    if params.dynatemp_range > 0.0:
        values = (params.temperature, params.dynatemp_range, params.dynatemp_exponent)
        return Stage("temp_ext", values)
    return Stage("temp", (params.temperature,))


def _mirostat(params: SamplingParams, seed: int) -> Stage:
    if params.mirostat == 1:
        return Stage("mirostat", (seed, params.mirostat_tau, params.mirostat_eta, _MIROSTAT_M))
    return Stage("mirostat_v2", (seed, params.mirostat_tau, params.mirostat_eta))
