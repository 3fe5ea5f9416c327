"""Owns the command line of the benchmark and the order of a run."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from app.engine.system.threads import default_threads
from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.console import BenchFailed, say, say_failure
from scripts.benchmark.machine import describe_machine
from scripts.benchmark.measurements import GROUPS, MEASUREMENTS, names_of
from scripts.benchmark.plan import Plan
from scripts.benchmark.prompt_cache import cli as prompt_cache
from scripts.benchmark.random_model import FILE_TYPES, cache_folder, ensure_model, ensure_shape
from scripts.benchmark.results import Result, as_table
from scripts.benchmark.shapes import SHAPES

_MODELS = Path(__file__).resolve().parents[2] / "models"
_SMALL_MODELS = "distiller-nano-*.gguf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when all that was asked for was done, else 1."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _end)  # as an exception, so that no server is left behind
    try:
        if options.command == "make-model":
            print(_made(options))
            return 0
        if options.command == "cache":
            return prompt_cache.run(options)
        return _run(options)
    except BenchFailed as error:
        say_failure("error", error)
        return 1
    except KeyboardInterrupt:
        return 130


def _made(options: argparse.Namespace) -> Path:
    if options.shape in ARCHITECTURES:
        return ensure_shape(options.shape, folder=options.out)
    return ensure_model(options.shape, options.type, options.out)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(143)


def _run(options: argparse.Namespace) -> int:
    plan = Plan(
        model=options.model,
        small_model=options.small_model or _bundled_model(),
        n_threads=options.threads,
        n_ctx=options.ctx,
        n_repeats=options.repeats,
        n_tokens=options.tokens,
        llama_bench=options.llama_bench,
        llama_server=options.llama_server,
        peer_options=tuple(shlex.split(options.peer_options)),
        peer_url=options.peer_url,
    )
    machine = describe_machine() | {
        "model": options.model.name if options.model else "random 0.5B Q4_0",
        "small model": plan.small_model.name,
        "threads": str(plan.n_threads),
        "peer": plan.peer_url or " ".join(["llama-server", *plan.llama_server_options()]),
        "repeats": str(plan.n_repeats),
    }
    results: list[Result] = []
    failures: dict[str, str] = {}
    for name in names_of(options.only):
        say(f"measuring {name}: {MEASUREMENTS[name].text}")
        try:
            results += MEASUREMENTS[name].measure(plan)
        except BenchFailed as error:
            failures[name] = str(error)
            say_failure(f"error: {name}", error)
    _print(machine, results, failures)
    if options.json:
        rows = [result.as_json() for result in results]
        report = {"machine": machine, "results": rows, "failures": failures}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if failures else 0


def _print(machine: dict[str, str], results: list[Result], failures: dict[str, str]) -> None:
    for name, value in machine.items():
        print(f"{name + ':':<13} {value}")
    if results:
        print(f"\n{as_table(results)}")
    for name, sentence in failures.items():
        print(f"not measured: {name}: {sentence}")


def _bundled_model() -> Path:
    found = sorted(_MODELS.glob(_SMALL_MODELS))
    if not found:
        raise BenchFailed(f"no {_SMALL_MODELS} lies in {_MODELS}; name one with --small-model")
    return found[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure the server; see docs/performance.md."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make = commands.add_parser(
        "make-model",
        help="write a model with random weights",
        description="Write a GGUF with random weights and print its path: in a Qwen2 shape, or a "
        "small one of another architecture, always Q8_0, whose answers are digits.",
    )
    shapes = (*SHAPES, *ARCHITECTURES)
    make.add_argument("--shape", choices=shapes, default="0.5b", help="default: %(default)s")
    make.add_argument("--type", choices=FILE_TYPES, default="q4_0", help="default: %(default)s")
    make.add_argument("--out", type=Path, metavar="DIR", help=f"default: {cache_folder()}")
    _add_run(commands)
    cache = commands.add_parser(
        "cache",
        help="measure the prompt cache with five architectures",
        description="Measure the prompt cache with random models of five architectures, "
        "llama-server beside it, and print a table.",
    )
    prompt_cache.add_options(cache)
    _add_threads(cache)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="measure and print a table",
        description="Measure and print a table. "
        + " ".join(f"{name}: {each.text}." for name, each in MEASUREMENTS.items())
        + "".join(f" {name}: {', '.join(members)}." for name, members in GROUPS.items()),
    )
    run.add_argument(
        "--only",
        nargs="+",
        choices=(*MEASUREMENTS, *GROUPS),
        metavar="NAME",
        help="some of them, or a group of them",
    )
    run.add_argument(
        "--model", type=Path, metavar="FILE", help="GGUF for speed (default: random 0.5B Q4_0)"
    )
    run.add_argument(
        "--small-model", type=Path, metavar="FILE", help="GGUF for the rest (default: the bundled)"
    )
    _add_threads(run)
    run.add_argument(
        "--ctx",
        type=_positive,
        default=8192,
        metavar="N",
        help="tokens of context of ours and of peers (default: 8192)",
    )
    run.add_argument("--repeats", type=_positive, default=5, metavar="N", help="default: 5")
    run.add_argument(
        "--tokens",
        type=_positive,
        default=128,
        metavar="N",
        help="length of an answer (default: 128)",
    )
    run.add_argument("--json", type=Path, metavar="FILE", help="write all samples to this file too")
    _add_peers(run)


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=_positive,
        default=default_threads(),
        metavar="N",
        help="compute threads of ours and of peers (default: the physical cores, %(default)s here)",
    )


def _add_peers(run: argparse.ArgumentParser) -> None:
    peers = run.add_argument_group("what to compare with")
    peers.add_argument("--llama-bench", type=Path, metavar="PATH", help="the program")
    peers.add_argument("--llama-server", type=Path, metavar="PATH", help="the program")
    peers.add_argument(
        "--peer-options",
        default="",
        metavar="WORDS",
        help="further options for llama-server, as one argument: --peer-options='-b 512'",
    )
    peers.add_argument(
        "--peer-url",
        metavar="URL",
        help="a server with the OpenAI dialect and the same model that runs already, "
        "in the place of llama-server",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)
