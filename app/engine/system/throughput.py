"""Owns what the engine knows of its own speed; pure arithmetic on measured steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

_SMOOTHING = 0.5
_SMALLEST_CHUNK = 4
# llama.cpp's flash attention on a CPU works on tiles of so many rows of a batch. A step of 64
# rows takes 0.35 s where one of 63 takes 0.44 s and one of 50 takes 0.34 s (0.5B model, AVX2).
TILE_ROWS = 64
_COSTLY_ROWS = 51
_ALONE_FACTOR = 3
_LONGEST_WAIT_S = 600


class Queued(Protocol):
    """What the wait for a queued request is estimated from."""

    @property
    def n_pending(self) -> int:
        """Tokens to be decoded before the next one can be sampled."""

    @property
    def max_new(self) -> int:
        """Tokens that may be generated."""


class Throughput:
    """Sizes prefill chunks so that a step stays within a time, and estimates waits.

    Args:
        target_s: seconds one step may take.
        n_batch: tokens a chunk may have at most.
        first_chunk: tokens of the first chunk, before any speed is known.
    """

    def __init__(self, *, target_s: float, n_batch: int, first_chunk: int = 16) -> None:
        self._target_s = target_s
        self._n_batch = n_batch
        self.prefill_tokens_per_s = first_chunk / target_s
        self.decode_tokens_per_s = 0.0
        self._answer_tokens = 64.0

    def chunk(self, n_generating: int) -> int:
        """Return the tokens that the next step may prefill beside so many generated ones.

        With nobody generating nobody's next token is late: steps may be longer, and are at least
        one full tile, however long that takes.
        """
        rows = int(self.prefill_tokens_per_s * self._target_s) + n_generating
        if not n_generating:
            rows = max(rows * _ALONE_FACTOR, TILE_ROWS)
        tiles, rest = divmod(rows, TILE_ROWS)
        if tiles and rest < _COSTLY_ROWS:
            rows -= rest
        elif rest >= _COSTLY_ROWS:
            rows += TILE_ROWS - rest
        return min(self._n_batch, max(_SMALLEST_CHUNK, rows - n_generating))

    def measured(self, n_prefill: int, n_decode: int, seconds: float) -> None:
        """Learn from a step of so many prefilled and generated tokens.

        A step with both tells the prefill speed beside running answers, which is the one that
        counts for the next such step.
        """
        if seconds <= 0.0:
            return
        if n_prefill >= _SMALLEST_CHUNK:
            speed = n_prefill / seconds
            self.prefill_tokens_per_s += _SMOOTHING * (speed - self.prefill_tokens_per_s)
        elif n_decode:
            speed = n_decode / seconds
            known = self.decode_tokens_per_s or speed
            self.decode_tokens_per_s = known + _SMOOTHING * (speed - known)

    def finished(self, n_generated: int) -> None:
        """Learn how long answers are."""
        self._answer_tokens += _SMOOTHING * (n_generated - self._answer_tokens)

    def retry_after_s(self, waiting: Iterable[Queued]) -> int:
        """Return the seconds after which one of the waiting requests will have left the queue.

        The mean time that one of them keeps the engine busy, by the speeds measured so far.
        """
        requests = list(waiting)
        if not requests:
            return 1
        prompts = sum(request.n_pending for request in requests) / len(requests)
        answers = min(
            self._answer_tokens, sum(request.max_new for request in requests) / len(requests)
        )
        seconds = prompts / self.prefill_tokens_per_s
        if self.decode_tokens_per_s:
            seconds += answers / self.decode_tokens_per_s
        return min(_LONGEST_WAIT_S, max(1, math.ceil(seconds)))
