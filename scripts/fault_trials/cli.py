"""Owns the command line of the trials and the table they end in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from scripts.fault_trials import models
from scripts.fault_trials.bodies import bodies
from scripts.fault_trials.cache import cache
from scripts.fault_trials.kills import hang_engine, kill_engine
from scripts.fault_trials.openapi import openapi
from scripts.fault_trials.overload import overload
from scripts.fault_trials.raw import raw
from scripts.fault_trials.saves import saves
from scripts.fault_trials.soak import soak
from scripts.fault_trials.tally import HEAD, Tally


def _models(times: int, seed: int, loads: int = 300) -> list[Tally]:
    read, passed = models.read_damaged(times, seed)
    return [read, models.load_damaged(passed[:loads], seed)]


def _switches(times: int, seed: int) -> list[Tally]:
    return [models.switch(times, seed)]


# name: (what is done, how often or how many minutes by default, the trial)
TRIALS: dict[str, tuple[str, int, Callable[..., list[Tally]]]] = {
    "kills": ("kill the engine in mid-stream", 100, kill_engine),
    "hangs": ("stop the engine in mid-stream", 10, hang_engine),
    "models": ("read and load damaged model files", 2000, _models),
    "switches": ("switch between two models", 100, _switches),
    "raw": ("send bytes that are no proper HTTP", 10_000, raw),
    "bodies": ("send JSON that no client would send", 10_000, bodies),
    "cache": ("damage files of the prompt cache", 2000, cache),
    "saves": ("kill a process that writes to the prompt cache", 200, saves),
    "openapi": ("send requests made from /openapi.json", 2000, openapi),
    "overload": ("ask for more than can be given", 10, overload),
    "soak": ("do everything at once, for long", 60, soak),
}
_TIMED = ("overload", "soak")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one trial; return 0 when nothing was lost, else 1."""
    options = vars(_parser().parse_args(argv))
    _, _, trial = TRIALS[options.pop("name")]
    tallies = trial(options.pop("amount"), options.pop("seed"), **options)
    print("\n".join([HEAD, *(tally.row() for tally in tallies)]))
    losses = [line for tally in tallies for line in tally.loss_lines()]
    for line in losses:
        print(line, file=sys.stderr)
    return 1 if losses else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description="Try what should not harm the server, and count."
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="TRIAL")
    for name, (text, amount, _) in TRIALS.items():
        each = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        option, kind = ("--minutes", float) if name in _TIMED else ("--times", int)
        each.add_argument(
            option,
            dest="amount",
            type=kind,
            default=amount,
            metavar="N",
            help="default: %(default)s",
        )
        each.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
        if name == "models":
            each.add_argument(
                "--loads",
                type=int,
                default=300,
                metavar="N",
                help="how many of those that the reader accepts are loaded; default: %(default)s",
            )
    return parser
