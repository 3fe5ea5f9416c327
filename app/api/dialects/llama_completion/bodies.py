"""Owns the JSON objects inside llama-server's completions; no I/O, no Sanic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.api.answering.bodies import timings_body
from app.protocol import Finished, Generate, Timings, TokenChance, TokenLogprob

_SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc")
_NO_LIMIT = -1
_RANDOM_SEED = 2**32 - 1  # llama.cpp's LLAMA_DEFAULT_SEED


def settings_body(command: Generate, *, n_ctx: int, stream: bool) -> dict[str, Any]:
    """Return `generation_settings`: what the answers were generated with."""
    sampling = command.sampling
    limit = _NO_LIMIT if command.max_tokens is None else command.max_tokens
    constraint = command.constraint
    return {
        **msgspec.to_builtins(sampling),
        "seed": _RANDOM_SEED if sampling.seed is None else sampling.seed,
        "logit_bias": [
            {"token": token, "bias": bias} for token, bias in sampling.logit_bias.items()
        ],
        "n_ctx": n_ctx,
        "n_predict": limit,
        "max_tokens": limit,
        "stop": command.stop,
        "stream": stream,
        "n_probs": command.n_logprobs or 0,
        "grammar": constraint.text if constraint and constraint.kind == "grammar" else "",
        "samplers": ["mirostat"] if sampling.mirostat else [*_SAMPLERS, "temperature"],
    }


def end_body(finished: Finished, command: Generate) -> dict[str, Any]:
    """Return the fields that state why an answer ended."""
    limit, n_generated = command.max_tokens, finished.usage.completion_tokens
    is_cut = finished.reason == "length"
    ended_by = "eos" if finished.stop_string is None else "word"
    return {
        "truncated": is_cut and (limit is None or n_generated < limit),
        "stop_type": "limit" if is_cut else ended_by,
        "stopping_word": finished.stop_string or "",
    }


def native_timings_body(timings: Timings) -> dict[str, Any]:
    """Return llama-server's `timings` object."""
    return {
        **timings_body(timings),
        "prompt_per_token_ms": _per_token(timings.prompt_ms, timings.prompt_n),
        "predicted_per_token_ms": _per_token(timings.predicted_ms, timings.predicted_n),
    }


def _per_token(milliseconds: float, count: int) -> float | None:
    return round(milliseconds / count, 3) if count else None


def probabilities_body(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Return `completion_probabilities`."""
    return [
        {**_chance_body(token), "top_logprobs": list(map(_chance_body, token.top))}
        for token in tokens
    ]


def _chance_body(chance: TokenChance) -> dict[str, Any]:
    return {
        "id": chance.id,
        "token": chance.piece.decode("utf-8", "replace"),
        "bytes": list(chance.piece),
        "logprob": chance.logprob,
    }


def selected(body: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Return the fields of an answer that `response_fields` selects; all of them if it is empty.

    A nested field is selected by its path, with slashes, and returned under that name.
    """
    found = {}
    for field in fields:
        value: Any = body
        for name in field.split("/"):
            value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            found[field] = value
    return found if fields else body


_MISSING = object()
