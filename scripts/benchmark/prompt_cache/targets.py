"""Owns the bounds that the figures of the cache benchmark are held to, all in one place."""

from __future__ import annotations

from scripts.benchmark.prompt_cache.rows import Bound

# Tokens that were there before and are prefilled again: a block, or what follows the last state.
MISSED = Bound(32, "a block")
RESTARTED = {600: Bound(0.08), 4000: Bound(0.03)}  # shares of a cold time to first token
SWITCHED = Bound(0.08)
GAP = Bound(1.3)
SIX_TURNS_MB = Bound(130, "six turns")  # in the shape of Qwen3-0.6B
MEMORY_MARGIN_MB = 40
CANCELLED = Bound(256, "a step")
_TOOLS = {"qwen35": Bound(700)}
_AGAIN = 1.15
_WRITTEN = 1.2


def again(shape: str, n_new: int, peer: float | None) -> list[Bound]:
    """Return the bounds of the tokens prefilled in ten requests with tool calls.

    Args:
        shape: the architecture.
        n_new: tokens that no request before had.
        peer: what llama-server prefilled.
    """
    bounds = [Bound(round(_AGAIN * n_new), f"{_AGAIN} of the new")]
    bounds += [Bound(peer, "llama-server")] if peer is not None else []
    return bounds + ([_TOOLS[shape]] if shape in _TOOLS else [])


def shared(n_new: int) -> Bound:
    """Return the bound of what several clients with the same new head prefill together."""
    return Bound(round(_AGAIN * n_new), f"{_AGAIN} of once")


def written_mb(n_tokens: int, token_bytes: int, state_bytes: int, n_turns: int) -> Bound:
    """Return the bound of what the disk takes for some turns: their attention, a state each."""
    n_bytes = _WRITTEN * n_tokens * token_bytes + n_turns * state_bytes
    return Bound(n_bytes / 1e6, f"{_WRITTEN} of attention + states")


def memory_mb(peer: float | None) -> list[Bound]:
    """Return the bound of the memory that a context of 32,768 tokens takes."""
    return [] if peer is None else [Bound(peer + MEMORY_MARGIN_MB, "llama-server + 40")]


def no_more_than(before: float | None) -> list[Bound]:
    """Return the bound of a figure of which an earlier run is known."""
    return [] if before is None else [Bound(before, "baseline")]
