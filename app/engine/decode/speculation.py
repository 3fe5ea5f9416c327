"""Owns prompt-lookup drafts for speculative decoding, and when they pay.

Pure policy; must not know llama.cpp. A draft is verified in one batch with the last token: from the
first token on that the model does not sample itself it is dropped, so the answer stays the same. A
batch costs more than one token and less than its tokens one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_DRAFT_TOKENS = 7
_KEY_TOKENS = 3
_LOOKS_BACK = 8192  # tokens of a prompt that are looked at; more would take milliseconds
_SIZES = (3, MAX_DRAFT_TOKENS)
# Cost of a batch of so many tokens in tokens decoded one by one, before any is measured:
# 0.5B Q4_0 on two cores.
_PRIOR_COST = (0.0, 1.0, 1.9, 2.2, 2.5, 2.8, 3.0, 3.3, 3.5)
_SMOOTHING = 0.25
_WORTH = 1.1  # least expected speed-up of a draft
_PRIOR_ACCEPTED, _PRIOR_REJECTED = 3.4, 0.6
_DECAY = 0.8
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
    """Drafts for one answer: the tokens that followed its last few tokens before.

    Args:
        cost: what steps cost; shared by all answers.
    """

    def __init__(self, cost: BatchCost) -> None:
        self._cost = cost
        self._followers: dict[tuple[int, ...], int] = {}
        self._n_seen = 0
        self._n_accepted, self._n_rejected = _PRIOR_ACCEPTED, _PRIOR_REJECTED
        self._pause = _FIRST_PAUSE
        self._paused_until = 0

    def draft(self, tokens: Sequence[int], n_others: int, most: int) -> list[int]:
        """Return draft tokens, none where a draft would not pay.

        Args:
            tokens: prompt and answer so far.
            n_others: tokens that the step decodes for other answers.
            most: longest draft there is room for.
        """
        if len(tokens) < self._paused_until or most < 1:
            return []
        at = self._find(tokens)
        if at is None:
            return []
        # A match shorter than the draft repeats itself: text in a loop.
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
        share = self._n_accepted / (self._n_accepted + self._n_rejected)
        n_alone = n_others + 1
        best, gain = 0, _WORTH * n_alone / self._cost.of(n_alone)
        for size in _SIZES:
            length = min(size, most)
            expected = sum(share**place for place in range(1, length + 1))
            reached = (n_alone + expected) / self._cost.of(n_alone + length)
            if reached > gain:
                best, gain = length, reached
        return best

    def record(self, n_draft: int, n_accepted: int, n_tokens: int) -> None:
        """Learn how much of a draft was accepted; after a rejected one drafting pauses.

        Args:
            n_draft: its length.
            n_accepted: how many of its tokens were accepted.
            n_tokens: tokens of prompt and answer now.
        """
        self._n_accepted = self._n_accepted * _DECAY + n_accepted
        self._n_rejected = self._n_rejected * _DECAY + (n_accepted < n_draft)
        if n_accepted > n_draft // 2:
            self._pause = _FIRST_PAUSE
        elif not n_accepted:
            self._paused_until = n_tokens + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._n_accepted, self._n_rejected = _PRIOR_ACCEPTED, _PRIOR_REJECTED
