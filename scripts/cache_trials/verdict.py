"""Owns what a run says of its cases: faults of each, and the counts of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.cache_trials.case import Check
from scripts.cache_trials.comparison import compare

TABLE_HEAD = (
    "| kind | cases | answers | the same text | parted within the rule | not comparable "
    "| worst logprob | cached / seen tokens | memory, disk, none | faults |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
# Tokens that end a turn in any of the models' templates.
_ENDS = (
    b"<|im_end|>",
    b"<end_of_turn>",
    b"<|end_of_text|>",
    b"<|endoftext|>",
    b"</s>",
    b"<eos>",
)


@dataclass(frozen=True)
class Floors:
    """What share of the tokens that were computed before has to be found.

    Attributes:
        head: of the head's, where it was seen before.
        turn: of all up to where the prompt leaves those before it.
        slack: tokens that may be missing anyway: a block, the ends of texts.
    """

    head: float = 0.9
    turn: float = 0.9
    slack: int = 40

    def fault(self, check: Check) -> str:
        """Return what is missing, in a sentence; empty where enough was found."""
        expected, n_cached = check.expected, check.warm.n_cached
        for name, share, n in (
            ("the head's", self.head, expected.n_head),
            ("the", self.turn, expected.n_turn),
        ):
            if share and n > self.slack and n_cached < share * (n - self.slack):
                return f"{n_cached} tokens cached of {name} {n} that were seen"
        return ""


@dataclass
class Row:
    """The counts of one kind of case.

    Attributes:
        n_blind: prompts that lack words and were answered as if they did not.
        n_controls: prompts that lack words.
    """

    kind: str
    n_cases: int = 0
    n_answers: int = 0
    n_same: int = 0
    n_parted: int = 0
    n_other_tokens: int = 0
    n_cached: int = 0
    n_seen: int = 0
    n_cancelled: int = 0
    n_controls: int = 0
    n_blind: int = 0
    worst: float = 0.0
    tiers: dict[str, int] = field(default_factory=lambda: {"memory": 0, "disk": 0, "none": 0})
    faults: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the row of the table."""
        share = f"{self.n_cached / self.n_seen:.0%}" if self.n_seen else "-"
        return (
            f"| {self.kind} | {self.n_cases} | {self.n_answers} | {self.n_same} | {self.n_parted} "
            f"| {self.n_other_tokens} | {self.worst:.3f} | {share} "
            f"| {', '.join(map(str, self.tiers.values()))} "
            f"| {len(self.faults)} wrong, {len(self.misses)} missed |"
        )


def judge(row: Row, checks: Sequence[Check], floors: Floors, tolerance: float) -> None:
    """Compare the answers of a case with the cold ones and count.

    Raises:
        TrialFailed: a cold run failed.
    """
    row.n_cases += 1
    for number, check in enumerate(checks):
        place = f"request {number}, {check.step}"
        row.tiers[check.warm.tier] += 1
        n_seen = max(check.expected.n_turn, check.expected.n_head)
        row.n_seen += n_seen
        row.n_cached += min(check.warm.n_cached, n_seen)
        if miss := floors.fault(check):
            row.misses.append(f"{place}: {miss} (prompt of {check.warm.n_prompt})")
        cold = check.cold.result()
        if check.warm.n_prompt != cold.n_prompt:
            row.n_other_tokens += 1
            continue
        for choice in check.warm.choices:
            found = compare(choice.tokens, cold.choices[0].tokens, ends=_ENDS, tolerance=tolerance)
            row.n_answers += 1
            row.worst = max(row.worst, found.worst)
            row.n_parted += found.parts_at is not None and not found.fault
            row.n_same += found.parts_at is None and not found.fault
            if found.fault:
                where = f"{check.warm.n_cached} of {check.warm.n_prompt} from {check.warm.tier}"
                row.faults.append(f"{place}: {found.fault} ({where})")
        if check.control is not None:
            less = check.control.result()
            row.n_controls += 1
            row.n_blind += not compare(
                less.choices[0].tokens, cold.choices[0].tokens, ends=_ENDS, tolerance=tolerance
            ).fault
