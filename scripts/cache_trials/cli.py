"""Owns the command line of the trials and the tables they end in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.benchmark.console import BenchFailed, say, say_failure
from scripts.cache_trials.comparison import TOLERANCE
from scripts.cache_trials.kinds import KINDS
from scripts.cache_trials.run import Plan, Report, run, spread
from scripts.cache_trials.shapes import SHAPES
from scripts.cache_trials.verdict import TABLE_HEAD, Floors
from scripts.cache_trials.widened import widened

_N_CASES = 300
_N_HEAD = (200, 600)
_EXACT_TOLERANCE = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials; return 0 when nothing was wrong or missed, else 1."""
    options = _parser().parse_args(argv)
    reports = []
    try:
        for plan in _plans(options):
            reports.append(run(plan))
            _print(reports[-1])
    except BenchFailed as error:
        say_failure("error", error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if any(report.has_failed for report in reports) else 0


def _plans(options: argparse.Namespace) -> list[Plan]:
    if options.model:
        models = [(path.stem, widened(path) if options.widen else path) for path in options.model]
    else:
        models = [(name, SHAPES[name].model()) for name in options.shape or SHAPES]
    kinds = options.kind or list(KINDS)
    cases = options.case or list(spread(options.cases, kinds))
    usual = Floors(options.head_floor, options.turn_floor)
    floors = {"": usual} | {
        kind: replace(usual, head=head, turn=turn) for kind, head, turn in options.floor
    }
    n_head = (options.head_tokens[0], options.head_tokens[1])
    is_exact = bool(options.widen or not options.model) and not options.flash_attention
    tolerance = options.tolerance or (_EXACT_TOLERANCE if is_exact else TOLERANCE)
    return [
        Plan(name, model, cases, options.seed, n_head, is_exact, tolerance, floors)
        for name, model in models
    ]


def _print(report: Report) -> None:
    total = report.total
    rows = [*report.rows.values(), total]
    print(f"\n{report.plan.name}, seed {report.plan.seed}:\n", flush=True)
    print("\n".join([TABLE_HEAD, *(row.line() for row in rows)]), flush=True)
    print(
        f"\n{total.n_cases / report.elapsed_s:.2f} cases a second; {total.n_cancelled} prefills "
        f"cancelled; of {total.n_controls} prompts that lack five words "
        f"{total.n_controls - total.n_blind} were told apart",
        flush=True,
    )
    if report.is_blind:
        say("the model shows too little of what it is told: these trials prove nothing")
    say(f"{report.plan.name}: {len(total.faults)} wrong, {len(total.misses)} missed")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/cache-trials",
        description="Compare greedy answers to cached prompts with those of cold runs.",
        epilog="Kinds: " + "; ".join(f"{name}: {kind.text}" for name, kind in KINDS.items()) + ".",
    )
    parser.add_argument(
        "--shape",
        nargs="+",
        choices=SHAPES,
        metavar="NAME",
        help="random-weight models: " + ", ".join(SHAPES) + "; default: all",
    )
    parser.add_argument(
        "--model", nargs="+", type=Path, metavar="FILE", help="models of your own instead"
    )
    parser.add_argument(
        "--widen",
        action="store_true",
        help="write the models of --model with 32-bit weights first: rounding of quantised ones "
        "moves logprobs by more than is tolerated",
    )
    parser.add_argument(
        "--cases",
        type=int,
        default=_N_CASES,
        metavar="N",
        help="cases for each model, all kinds in turn; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--kind", nargs="+", choices=KINDS, metavar="KIND", help="some kinds only")
    parser.add_argument(
        "--case",
        nargs="+",
        type=_case,
        metavar="KIND/NUMBER",
        help="these cases only, as a failure names them",
    )
    parser.add_argument(
        "--head-tokens",
        nargs=2,
        type=int,
        default=_N_HEAD,
        metavar="N",
        help="least and most tokens of instructions and tools; default: %(default)s",
    )
    parser.add_argument(
        "--flash-attention",
        action="store_true",
        help="as the server decides; without it, models with 32-bit weights have logprobs that do "
        f"not depend on how a prompt is cut, and {_EXACT_TOLERANCE} is tolerated",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="N",
        help=f"difference of logprobs that is none; default: {TOLERANCE}",
    )
    _add_floors(parser)
    return parser


def _add_floors(parser: argparse.ArgumentParser) -> None:
    floors = parser.add_argument_group("what has to be cached, as a share of what was seen")
    default = Floors()
    floors.add_argument(
        "--head-floor",
        type=float,
        default=default.head,
        metavar="SHARE",
        help="of instructions and tools that were prefilled before; default: %(default)s",
    )
    floors.add_argument(
        "--turn-floor",
        type=float,
        default=default.turn,
        metavar="SHARE",
        help="of all that an earlier prompt and its answer share; default: %(default)s",
    )
    floors.add_argument(
        "--floor",
        nargs="+",
        type=_floor,
        default=[],
        metavar="KIND=HEAD:TURN",
        help="other shares for some kinds; 0 is no floor",
    )


def _case(text: str) -> tuple[str, int]:
    kind, _, number = text.partition("/")
    if kind not in KINDS or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no case such as memory/0")
    return kind, int(number)


def _floor(text: str) -> tuple[str, float, float]:
    kind, _, shares = text.partition("=")
    try:
        head, turn = map(float, shares.split(":"))
    except ValueError:
        head = turn = -1.0
    if kind not in KINDS or min(head, turn) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no floor such as memory=0.9:0.8")
    return kind, head, turn
