"""Owns how many prompt tokens one step may prefill; pure arithmetic on measured speed."""

from __future__ import annotations

_SMOOTHING = 0.3


class PrefillPace:
    """Sizes prefill chunks so that a step stays within a time.

    Args:
        target_s: seconds one step may take.
        n_batch: tokens a chunk may have at most.
        first_chunk: tokens of the first chunk, before any speed is known.
    """

    def __init__(self, *, target_s: float, n_batch: int, first_chunk: int = 64) -> None:
        self._target_s = target_s
        self._n_batch = n_batch
        self._tokens_per_s = first_chunk / target_s

    @property
    def budget(self) -> int:
        """Prompt tokens the next step may prefill."""
        tokens = int(self._tokens_per_s * self._target_s)
        return max(1, min(self._n_batch, max(16, tokens)))

    def measured(self, n_tokens: int, seconds: float) -> None:
        """Learn from a step; steps too small to tell the prefill speed are ignored."""
        if n_tokens < 16 or seconds <= 0.0:
            return
        speed = n_tokens / seconds
        self._tokens_per_s += _SMOOTHING * (speed - self._tokens_per_s)
