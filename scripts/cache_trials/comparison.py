"""Owns the rule by which a greedy answer equals the one of a cold run; pure.

Both lists of tokens are walked side by side:

1. Where both have the same token, its logprobs differ by at most `tolerance`.
2. At the first place where the tokens differ, the two candidates' logprobs differ by at most
   `tolerance` from each other, in both runs; nothing after that place is compared. An answer that
   ended where the other one went on parts there from it too, and the end token is its candidate.
3. Tokens that are next to impossible in both runs are not compared: only a grammar makes a model
   choose them, and the last bits of their logits are many times those of likely ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

TOLERANCE = 0.1
IMPOSSIBLE = -30.0


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token.

    Attributes:
        data: its bytes.
        logprob: its logprob.
        others: logprobs of the likeliest tokens in its place, by their bytes.
    """

    data: bytes
    logprob: float
    others: Mapping[bytes, float] = field(default_factory=dict)

    def logprob_of(self, data: bytes) -> float | None:
        """Return the logprob of a token in this place; None where it is not among the likeliest."""
        return self.logprob if data == self.data else self.others.get(data)


@dataclass(frozen=True, slots=True)
class Difference:
    """How two answers to one prompt differ.

    Attributes:
        worst: the largest difference of logprobs up to the parting, and of candidates at it.
        parts_at: index of the first token that differs; None where none does.
        fault: what the rule does not allow, in a sentence; empty where it allows everything.
    """

    worst: float
    parts_at: int | None
    fault: str


def compare(
    warm: Sequence[Token],
    cold: Sequence[Token],
    *,
    ends: Sequence[bytes] = (),
    tolerance: float = TOLERANCE,
) -> Difference:
    """Compare two greedy answers to the same prompt.

    Args:
        warm: the answer of a run that began with cached tokens.
        cold: the answer of a run that computed all of its prompt.
        ends: the tokens that end an answer; they are not listed themselves.
        tolerance: the largest difference of logprobs that is none.
    """
    worst = 0.0
    for index, (ours, theirs) in enumerate(zip_longest(warm, cold)):
        if ours is None or theirs is None or ours.data != theirs.data:
            gap = _gap(ours, theirs, ends)
            fault = ""
            if gap is None or gap > tolerance:
                words = "not among the likeliest" if gap is None else f"{gap:.3f} apart"
                fault = f"token {index} is {_name(ours)}, cold {_name(theirs)}: {words}"
            return Difference(max(worst, gap or 0.0), index, fault)
        if ours.logprob < IMPOSSIBLE and theirs.logprob < IMPOSSIBLE:
            continue
        difference = abs(ours.logprob - theirs.logprob)
        worst = max(worst, difference)
        if difference > tolerance:
            words = f"logprob {ours.logprob:.3f}, cold {theirs.logprob:.3f}"
            return Difference(worst, None, f"token {index} {_name(ours)}: {words}")
    return Difference(worst, None, "")


def _gap(ours: Token | None, theirs: Token | None, ends: Sequence[bytes]) -> float | None:
    """Return how far apart the candidates are at a parting, in the run where they are further.

    None where a run does not tell, as one of them is not among its likeliest tokens.
    """
    if ours is not None and theirs is not None:
        gaps = [_gap_within(each, ours.data, theirs.data) for each in (ours, theirs)]
        return None if None in gaps else max(gap for gap in gaps if gap is not None)
    runs = [each for each in (ours, theirs) if each is not None]
    found = [_gap_within(each, each.data, end) for each in runs for end in ends]
    return min((gap for gap in found if gap is not None), default=None)


def _gap_within(run: Token, one: bytes, other: bytes) -> float | None:
    first, second = run.logprob_of(one), run.logprob_of(other)
    return None if first is None or second is None else abs(first - second)


def _name(token: Token | None) -> str:
    return "the end" if token is None else repr(token.data.decode("utf-8", "replace"))
