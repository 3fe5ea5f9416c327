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
from scripts.fault_trials.soak import soak
from scripts.fault_trials.tally import HEAD, Tally


def _models(options: argparse.Namespace) -> list[Tally]:
    read, passed = models.read_damaged(options.times, options.seed)
    return [read, models.load_damaged(passed[: options.loads], options.seed)]


def _switches(options: argparse.Namespace) -> list[Tally]:
    return [models.switch(options.times, options.seed)]


def _raw(options: argparse.Namespace) -> list[Tally]:
    return raw(options.times, options.seed)


def _bodies(options: argparse.Namespace) -> list[Tally]:
    return bodies(options.times, options.seed)


def _cache(options: argparse.Namespace) -> list[Tally]:
    return cache(options.times, options.seed)


def _openapi(options: argparse.Namespace) -> list[Tally]:
    return openapi(options.times, options.seed)


def _kills(options: argparse.Namespace) -> list[Tally]:
    return kill_engine(options.times, options.seed)


def _hangs(options: argparse.Namespace) -> list[Tally]:
    return hang_engine(options.times, options.seed)


def _overload(options: argparse.Namespace) -> list[Tally]:
    return overload(options.minutes, options.seed)


def _soak(options: argparse.Namespace) -> list[Tally]:
    return soak(options.minutes, options.seed)


# name: (what is done, how often or how many minutes by default, the trial)
TRIALS: dict[str, tuple[str, int, Callable[[argparse.Namespace], list[Tally]]]] = {
    "kills": ("kill the engine in mid-stream", 100, _kills),
    "hangs": ("stop the engine in mid-stream", 10, _hangs),
    "models": ("read and load damaged model files", 2000, _models),
    "switches": ("switch between two models", 100, _switches),
    "raw": ("send bytes that are no proper HTTP", 10_000, _raw),
    "bodies": ("send JSON that no client would send", 10_000, _bodies),
    "cache": ("damage files of the prompt cache", 2000, _cache),
    "openapi": ("send requests made from /openapi.json", 2000, _openapi),
    "overload": ("ask for more than can be given", 10, _overload),
    "soak": ("do everything at once, for long", 60, _soak),
}
_TIMED = ("overload", "soak")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one trial; return 0 when nothing was lost, else 1."""
    options = _parser().parse_args(argv)
    tallies: list[Tally] = options.trial(options)
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
    for name, (text, times, trial) in TRIALS.items():
        each = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        option, kind = ("--minutes", float) if name in _TIMED else ("--times", int)
        each.add_argument(
            option, type=kind, default=times, metavar="N", help="default: %(default)s"
        )
        each.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
        each.set_defaults(trial=trial)
        if name == "models":
            each.add_argument(
                "--loads",
                type=int,
                default=300,
                metavar="N",
                help="how many of those that the reader accepts are loaded; default: %(default)s",
            )
    return parser
