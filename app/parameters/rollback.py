"""Owns which models' recurrent layers keep states to go back to, and how many.

llama.cpp can keep the states after each of the last few tokens for some architectures
(`n_rs_seq`), at the cost of one state per token and sequence. Only states of short convolutions are
so small that it would pay: 0.08 MiB of LFM2-350M, against 19 MiB of Qwen3.5-0.8B. It is off for
these too: several clients at once got answers from a state that was not theirs
(`scripts/cache-trials --shape lfm2 --seed 11 --case parallel/19` on a busy machine).
"""

from __future__ import annotations

N_DRAFT_TOKENS = 7
_EXACT: frozenset[str] = frozenset()


def n_rollback(architecture: str, n_window: int) -> int:
    """Return how many tokens the recurrent layers of a model can go back.

    Args:
        architecture: `general.architecture` of the model.
        n_window: tokens that a sliding window of it holds; 0 for none. llama.cpp spreads a step
            of such hybrids over physical batches, so that windows could lose what they reach.
    """
    return N_DRAFT_TOKENS if architecture in _EXACT and not n_window else 0
