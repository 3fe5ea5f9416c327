"""Owns how likely generated tokens were, until text of them is shown; must not know llama.cpp.

The probabilities are the model's own: softmax over its logits, before bias, penalties, temperature
and all other samplers, as OpenAI and llama-server define them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.protocol import TokenChance, TokenLogprob, TokenLogprobs

LEAST_LOGPROB = -9999.0  # OpenAI's word for impossible; JSON has no infinity

Logits = npt.NDArray[np.float32]


class HeldLogprobs:
    """The tokens of one answer that no event has shown yet.

    Args:
        request_id: goes into every event, as does `choice`.
        n_top: how many of the likeliest tokens are reported for each.
        piece: returns a token's bytes, those of special tokens too.
        includes_end: whether the token that ends the answer is told too.
    """

    def __init__(
        self,
        request_id: str,
        choice: int,
        n_top: int,
        piece: Callable[[int], bytes],
        *,
        includes_end: bool = False,
    ) -> None:
        self._request_id = request_id
        self._choice = choice
        self._n_top = n_top
        self._piece = piece
        self.includes_end = includes_end
        self._held: list[TokenLogprob] = []

    def add(self, token: int, logits: Logits) -> None:
        """Note a generated token; `logits` is what the model made of each of its vocabulary."""
        log_total = log_sum_exp(logits)
        top = chances(logits, self._n_top, log_total, self._piece)
        logprob = logprob_of(logits, token, log_total)
        piece = self._piece(token)
        self._held.append(TokenLogprob(id=token, piece=piece, logprob=logprob, top=top))

    def take(self) -> list[TokenLogprobs]:
        """Return the event for what was held, if there is something."""
        if not self._held:
            return []
        held, self._held = self._held, []
        return [TokenLogprobs(request_id=self._request_id, tokens=held, choice=self._choice)]


def log_sum_exp(logits: Logits) -> float:
    """Return the logarithm of the sum that softmax divides by."""
    most = float(logits.max())
    return most + float(np.log(np.exp(logits - most).sum(dtype=np.float64)))


def likeliest(logits: Logits, count: int) -> list[int]:
    """Return the ids of the `count` largest logits, the best first, equal ones by id."""
    if count == 0:
        return []
    if count == 1:
        return [int(logits.argmax())]
    some = np.argpartition(-logits, min(count, len(logits)) - 1)[:count]
    order = np.lexsort((some, -logits[some]))
    return [int(token) for token in some[order]]


def chances(
    logits: Logits, count: int, log_total: float, piece: Callable[[int], bytes]
) -> list[TokenChance]:
    """Return the `count` likeliest tokens, the best first.

    Args:
        log_total: what `log_sum_exp` returned.
        piece: returns a token's bytes.
    """
    return [
        TokenChance(id=token, piece=piece(token), logprob=logprob_of(logits, token, log_total))
        for token in likeliest(logits, count)
    ]


def logprob_of(logits: Logits, token: int, log_total: float) -> float:
    """Return the logarithm of a token's probability."""
    value = float(logits[token]) - log_total
    return value if value > LEAST_LOGPROB else LEAST_LOGPROB
