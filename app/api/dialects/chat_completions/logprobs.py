"""Owns OpenAI's `logprobs` object; no I/O, no Sanic."""

from __future__ import annotations

from typing import Any

from app.protocol import TokenChance, TokenLogprob


def logprobs_body(tokens: list[TokenLogprob]) -> dict[str, Any] | None:
    """Return OpenAI's `logprobs` object; None where there are none."""
    if not tokens:
        return None
    content = [
        {**_chance_body(token), "top_logprobs": list(map(_chance_body, token.top))}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _chance_body(chance: TokenChance) -> dict[str, Any]:
    return {
        "token": chance.piece.decode("utf-8", "replace"),
        "logprob": chance.logprob,
        "bytes": list(chance.piece),
    }
