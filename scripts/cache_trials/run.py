"""Owns a run over one model: its servers, its cases in order, what is printed of them."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from scripts.benchmark.console import BenchFailed, say
from scripts.cache_trials.case import Case, Scale
from scripts.cache_trials.client import TrialFailed
from scripts.cache_trials.kinds import CONFIGURATIONS, KINDS
from scripts.cache_trials.servers import ColdServer, WarmServer, with_other_model
from scripts.cache_trials.talk import words
from scripts.cache_trials.verdict import Floors, Row, judge

_SETTINGS = {
    "n_threads": 1,
    "n_threads_batch": 1,
    "n_ctx": 4096,
    "idle_cache_mb": 64,
    "disk_cache_mb": 512,
    "disk_daily_write_mb": 0,
    "disk_save_after_s": 0,
}
# Flash attention on a CPU computes rows one by one in another way than in tiles, which moves the
# logprobs of random models by up to 0.1; without it they stay the same to the third digit.
_EXACT = {"flash_attn": False}
# Steps other than the cold run's, so that prompts are cut at other places; cancels come between.
_WARM_BATCH = {"n_batch": 128, "n_ubatch": 128}
_MOST_BLIND = 0.1
_LAG = 2
_PROGRESS = 25


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        name: of the shape.
        model: the file.
        cases: kind and number of each case.
        seed: of the run.
        n_head: least and most tokens of a head.
        is_exact: whether to do without flash attention.
        tolerance: the largest difference of logprobs that is none.
        floors: by kind; "" has those of the others.
    """

    name: str
    model: Path
    cases: Sequence[tuple[str, int]]
    seed: int
    n_head: tuple[int, int]
    is_exact: bool
    tolerance: float
    floors: Mapping[str, Floors]

    def floors_of(self, kind: str) -> Floors:
        """Return what has to be found in cases of a kind."""
        return self.floors.get(kind, self.floors[""])


@dataclass
class Report:
    """What a run found, by kind."""

    plan: Plan
    rows: dict[str, Row] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def row(self, kind: str) -> Row:
        """Return the row of a kind, made where it is missing."""
        return self.rows.setdefault(kind, Row(kind))

    @property
    def total(self) -> Row:
        """The sum of all rows."""
        total = Row("all")
        for row in self.rows.values():
            for name, value in vars(row).items():
                if name == "worst":
                    total.worst = max(total.worst, value)
                elif name == "tiers":
                    total.tiers = {tier: n + value[tier] for tier, n in total.tiers.items()}
                elif name != "kind":
                    setattr(total, name, getattr(total, name) + value)
        return total

    @property
    def is_blind(self) -> bool:
        """Whether too many prompts that lack words were answered as if they did not."""
        total = self.total
        return total.n_blind > 1 + _MOST_BLIND * total.n_controls

    @property
    def has_failed(self) -> bool:
        """Whether anything was wrong or missed, or nothing would have shown it."""
        total = self.total
        return bool(total.faults or total.misses) or self.is_blind


def run(plan: Plan) -> Report:
    """Run all cases; print those that fail as they end."""
    report = Report(plan)
    began_s = time.monotonic()
    with ExitStack() as stack:
        bench = _Bench(plan, stack)
        pending: deque[tuple[str, int, Case]] = deque()
        for done, (kind, number) in enumerate(plan.cases):
            if done and done % _PROGRESS == 0:
                total = report.total
                n_faults = f"{len(total.faults)} wrong, {len(total.misses)} missed"
                say(f"{plan.name}: {done} of {len(plan.cases)} cases, {n_faults}")
            case = _done(bench, report, kind, number)
            if case is not None:
                pending.append((kind, number, case))
            if len(pending) > _LAG:
                _judge(report, *pending.popleft())
        while pending:
            _judge(report, *pending.popleft())
    report.elapsed_s = time.monotonic() - began_s
    return report


def spread(n_cases: int, kinds: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield kind and number of so many cases, all kinds in turn."""
    for index in range(n_cases):
        yield kinds[index % len(kinds)], index // len(kinds)


class _Bench:
    """The servers of a run, started when they are needed."""

    def __init__(self, plan: Plan, stack: ExitStack) -> None:
        self._stack = stack
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="distiller-models-")))
        self._model = with_other_model(plan.model, folder)
        self._settings: dict[str, Any] = _SETTINGS | (_EXACT if plan.is_exact else {})
        self.cold = stack.enter_context(ColdServer(plan.model, self._settings))
        self._warm: dict[str, WarmServer] = {}
        sample = words(random.Random(plan.seed), 300)
        self.scale = Scale(plan.n_head, 300 / self.cold.n_tokens(sample))

    def warm(self, configuration: str) -> WarmServer:
        """Return the server with the cache in a configuration."""
        if configuration not in self._warm:
            prefix = f"distiller-cache-{configuration}-"
            folder = Path(self._stack.enter_context(TemporaryDirectory(prefix=prefix)))
            settings = self._settings | _WARM_BATCH | CONFIGURATIONS[configuration]
            server = WarmServer(self._model, settings, folder)
            self._warm[configuration] = self._stack.enter_context(server)
        return self._warm[configuration]


def _done(bench: _Bench, report: Report, kind: str, number: int) -> Case | None:
    """Do a case; return it to be judged, None where it came to no end."""
    warm = bench.warm(KINDS[kind].configuration)
    name = _name(report.plan, kind, number)
    case = Case(f"{report.plan.seed}/{kind}/{number}", warm, bench.cold, bench.scale)
    try:
        warm.forget()
        KINDS[kind].run(case)
        if case.n_deaths > 0:
            raise TrialFailed(f"{case.n_deaths} engines died")
    except (TrialFailed, BenchFailed, httpx.HTTPError) as error:
        _fail(report, kind, f"{name}: {error!r} after {len(case.checks)} requests")
        warm.restart(kill=True)
        return None
    report.row(kind).n_cancelled += case.n_cancelled
    return case


def _judge(report: Report, kind: str, number: int, case: Case) -> None:
    row, found = report.row(kind), Row(kind)
    name = _name(report.plan, kind, number)
    try:
        judge(found, case.checks, report.plan.floors_of(kind), report.plan.tolerance)
    except (TrialFailed, httpx.HTTPError) as error:
        _fail(report, kind, f"{name}: cold run: {error!r}")
        return
    faults = [f"{name}, {fault}" for fault in found.faults]
    misses = [f"{name}, {miss}" for miss in found.misses]
    for line in faults + misses:
        say(line)
    found.faults, found.misses = faults, misses
    both = Report(report.plan, {"old": row, "new": found}).total
    both.kind = kind
    report.rows[kind] = both


def _fail(report: Report, kind: str, line: str) -> None:
    say(line)
    row = report.row(kind)
    row.n_cases += 1
    row.faults.append(line)


def _name(plan: Plan, kind: str, number: int) -> str:
    return f"--shape {plan.name} --seed {plan.seed} --case {kind}/{number}"
