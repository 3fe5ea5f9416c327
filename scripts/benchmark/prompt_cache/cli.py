"""Owns `scripts/bench cache`: its options and the order of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.console import BenchFailed, say, say_failure
from scripts.benchmark.llama_bench import llama_program
from scripts.benchmark.machine import describe_machine
from scripts.benchmark.prompt_cache.bench import Bench
from scripts.benchmark.prompt_cache.rows import Row, as_matrix, as_table, summary
from scripts.benchmark.prompt_cache.scenarios import SCENARIOS

# The published template of each family, as a folder of `--templates` names it.
_TEMPLATES = {
    "qwen3": "Qwen-Qwen3-0.6B.jinja",
    "lfm2": "LFM2.5-Instruct.jinja",
    "qwen35": "Qwen3.5-4B.jinja",
    "granitehybrid": "ibm-granite-granite-4.0.jinja",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, but for the threads and the programs."""
    parser.add_argument(
        "--shape",
        nargs="+",
        choices=ARCHITECTURES,
        default=ARCHITECTURES,
        metavar="NAME",
        help="some of: %(default)s",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SCENARIOS,
        default=SCENARIOS,
        metavar="NAME",
        help="some of: " + "; ".join(f"{name} ({each.text})" for name, each in SCENARIOS.items()),
    )
    parser.add_argument("--no-peer", action="store_true", help="without llama-server")
    parser.add_argument("--llama-server", type=Path, metavar="PATH", help="the program")
    parser.add_argument(
        "--templates",
        type=Path,
        metavar="DIR",
        help="published chat templates to use where there is one: "
        + ", ".join(_TEMPLATES.values()),
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="the --json file of an earlier run, for what must not get slower",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to this file too")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, return 0 when all that was asked for was measured."""
    bench = Bench(
        n_threads=options.threads,
        llama_server=options.llama_server,
        has_peer=not options.no_peer,
        templates=_templates(options.templates),
        baseline=_baseline(options.baseline),
    )
    if bench.has_peer:
        llama_program("llama-server", bench.llama_server)
    rows: list[Row] = []
    failures: list[str] = []
    for shape in options.shape:
        for name in options.only:
            say(f"{shape}, {name}: {SCENARIOS[name].text}")
            try:
                rows += SCENARIOS[name].measure(bench, shape)
            except BenchFailed as error:
                failures.append(f"{shape}, {name}: {error}")
                say_failure(f"error: {shape}, {name}", error)
    machine = describe_machine() | {"threads": str(bench.n_threads)}
    for key, value in machine.items():
        print(f"{key + ':':<13} {value}")
    print(f"\n{as_table(rows)}\n\n{as_matrix(rows)}\n\n{summary(rows)}")
    for sentence in failures:
        print(f"not measured: {sentence}")
    if options.json:
        report = {"machine": machine, "rows": [row.as_json() for row in rows], "failures": failures}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if failures else 0


def _templates(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    try:
        return {shape: (folder / name).read_text() for shape, name in _TEMPLATES.items()}
    except OSError as error:
        raise BenchFailed(f"--templates: {error}") from error


def _baseline(path: Path | None) -> dict[tuple[str, str], float]:
    if path is None:
        return {}
    try:
        rows = json.loads(path.read_text())["rows"]
        return {(row["shape"], row["name"]): row["ours"] for row in rows if row["unit"] == "ms"}
    except (OSError, ValueError, KeyError) as error:
        raise BenchFailed(f"--baseline: {path} is no report of this command: {error}") from error
