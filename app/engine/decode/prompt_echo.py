"""Owns what a client is told of its own prompt, and how likely each token of it was.

Must not know llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.engine.decode.logprobs import Logits, chances, log_sum_exp, logprob_of
from app.protocol import PromptEcho, PromptToken

# Rows of logits that a step has room for besides one for each other request.
ROWS_PER_STEP = 8


class Echo:
    """The `PromptEcho` of one request.

    Args:
        request_id: goes into the event.
        text: the prompt as text.
        tokens: the prompt's.
        n_top: how many of the likeliest tokens are told for each; None: no token is told of.
        piece: returns a token's bytes, those of special tokens too.
        with_ids: whether the ids of all tokens are told.
    """

    def __init__(
        self,
        request_id: str,
        text: str,
        tokens: Sequence[int],
        n_top: int | None,
        piece: Callable[[int], bytes],
        *,
        with_ids: bool = False,
    ) -> None:
        self._request_id = request_id
        self._text = text
        self._tokens = tokens if n_top is not None else ()
        self._ids = list(tokens) if with_ids else []
        self._n_top = n_top or 0
        self._piece = piece
        self._scored = [PromptToken(id=token, piece=piece(token)) for token in self._tokens[:1]]

    @property
    def n_rows(self) -> int:
        """How many leading tokens of the prompt need no logits any more."""
        return max(0, len(self._scored) - 1)

    @property
    def is_complete(self) -> bool:
        """Whether the logprobs of all tokens are known, or none are wanted."""
        return len(self._scored) == len(self._tokens)

    def add(self, logits: Logits) -> None:
        """Note what the model made of each of its vocabulary behind the first `n_rows` + 1 tokens.

        Only the likeliest are kept, as a prompt has more logits than there is memory for.
        """
        token, log_total = self._tokens[len(self._scored)], log_sum_exp(logits)
        self._scored.append(
            PromptToken(
                id=token,
                piece=self._piece(token),
                logprob=logprob_of(logits, token, log_total),
                top=chances(logits, self._n_top, log_total, self._piece),
            )
        )

    def event(self) -> PromptEcho:
        """Return what the client is told."""
        return PromptEcho(
            request_id=self._request_id, text=self._text, tokens=self._scored, ids=self._ids
        )
