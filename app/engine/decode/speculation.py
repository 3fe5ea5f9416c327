"""Owns guessing the tokens that come next from those that came before, and when that pays.

Pure policy; must not know llama.cpp. A guess is checked in one batch with the last token: where
the model would have chosen otherwise the rest of it is thrown away, so the answer is the one it
would have been. A batch costs more than a token, less than its tokens one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_GUESSED = 7
_KEY_TOKENS = 3
_LOOKS_BACK = 8192  # tokens of a prompt that are looked at; more would take milliseconds
_SIZES = (3, MOST_GUESSED)
# Cost of a batch of so many tokens in tokens decoded one by one, before any is measured:
# 0.5B Q4_0 on two cores.
_PRIOR_COST = (0.0, 1.0, 1.9, 2.2, 2.5, 2.8, 3.0, 3.3, 3.5)
_SMOOTHING = 0.25
_WORTH = 1.1  # what a guess has to gain before it is made
_FIRST_RIGHT, _FIRST_WRONG = 3.4, 0.6
_FORGETTING = 0.8
_FIRST_PAUSE, _LONGEST_PAUSE = 16, 512


class BatchCost:
    """What a step of so many tokens costs, learned from the steps there were."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def measured(self, n_tokens: int, seconds: float) -> None:
        """Learn from a step without prefill."""
        if 1 <= n_tokens < 2 * len(_PRIOR_COST):
            known = self._seconds.get(n_tokens, seconds)
            self._seconds[n_tokens] = known + _SMOOTHING * (seconds - known)

    def of(self, n_tokens: int) -> float:
        """Return the cost of a step, in units that are the same for all steps."""
        known = self._seconds.get(n_tokens)
        if known is not None:
            return known
        nearest = min(self._seconds, key=lambda n: (abs(n - n_tokens), n), default=None)
        if nearest is None:
            return _prior(n_tokens)
        return self._seconds[nearest] * _prior(n_tokens) / _prior(nearest)


def _prior(n_tokens: int) -> float:
    most = len(_PRIOR_COST) - 1
    return _PRIOR_COST[n_tokens] if n_tokens <= most else _PRIOR_COST[most] * n_tokens / most


class Speculator:
    """Guesses for one answer: what followed the last few tokens when they came before.

    Args:
        cost: what steps cost; shared by all answers.
    """

    def __init__(self, cost: BatchCost) -> None:
        self._cost = cost
        self._followers: dict[tuple[int, ...], int] = {}
        self._n_seen = 0
        self._n_right, self._n_wrong = _FIRST_RIGHT, _FIRST_WRONG
        self._pause = _FIRST_PAUSE
        self._silent_until = 0

    def guess(self, tokens: Sequence[int], n_others: int, most: int) -> list[int]:
        """Return the tokens that probably follow, none where a guess would not pay.

        Args:
            tokens: prompt and answer so far.
            n_others: tokens that the step decodes for other answers.
            most: longest guess there is room for.
        """
        if len(tokens) < self._silent_until or most < 1:
            return []
        at = self._find(tokens)
        if at is None:
            return []
        # What began less than a guess ago goes on with itself: text in a loop.
        period = len(tokens) - at
        return [tokens[at + place % period] for place in range(self._best_length(n_others, most))]

    def _find(self, tokens: Sequence[int]) -> int | None:
        """Return where what followed begins, the latest time; None where it is the first."""
        key = tuple(tokens[-_KEY_TOKENS:])
        first = max(self._n_seen, len(tokens) - _LOOKS_BACK, _KEY_TOKENS)
        for end in range(first, len(tokens)):
            self._followers[tuple(tokens[end - _KEY_TOKENS : end])] = end
        self._n_seen = max(self._n_seen, len(tokens))
        return self._followers.get(key)

    def _best_length(self, n_others: int, most: int) -> int:
        share = self._n_right / (self._n_right + self._n_wrong)
        n_alone = n_others + 1
        best, gain = 0, _WORTH * n_alone / self._cost.of(n_alone)
        for size in _SIZES:
            length = min(size, most)
            expected = sum(share**place for place in range(1, length + 1))
            reached = (n_alone + expected) / self._cost.of(n_alone + length)
            if reached > gain:
                best, gain = length, reached
        return best

    def judged(self, n_guessed: int, n_right: int, n_tokens: int) -> None:
        """Learn how good a guess was; after a bad one there is silence for a while.

        Args:
            n_guessed: its length.
            n_right: how much of it the model chose too.
            n_tokens: tokens of prompt and answer now.
        """
        self._n_right = self._n_right * _FORGETTING + n_right
        self._n_wrong = self._n_wrong * _FORGETTING + (n_right < n_guessed)
        if n_right > n_guessed // 2:
            self._pause = _FIRST_PAUSE
        elif not n_right:
            self._silent_until = n_tokens + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._n_right, self._n_wrong = _FIRST_RIGHT, _FIRST_WRONG
