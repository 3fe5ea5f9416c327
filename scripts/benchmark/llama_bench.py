"""Owns llama.cpp's own programs: where they are, and `llama-bench`, the peer of pure decode."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from scripts.benchmark.console import BenchFailed

FOLDER_VARIABLE = "DISTILLER_BENCH_LLAMA_BIN"


def llama_program(name: str, path: Path | None) -> Path:
    """Return the path of one of llama.cpp's programs.

    Args:
        name: `llama-bench` or `llama-server`.
        path: where it is; None looks in the folder that the environment names.

    Raises:
        BenchFailed: there is no such program.
    """
    found = path or _in_folder(name)
    if found is None or not os.access(found, os.X_OK) or not found.is_file():
        where = f"{found} is no program" if found else f"{FOLDER_VARIABLE} is not set"
        raise BenchFailed(
            f"no {name} ({where}): run 'scripts/bench build-peer' once, or name one with --{name}"
        )
    return found


def program_version(path: Path) -> str:
    """Return the version of llama.cpp that a program states, in its own words."""
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
    words = re.search(r"version: (\S+)", done.stdout + done.stderr)
    return words[1] if words else "unknown"


class LlamaBench:
    """The program at a path.

    Raises:
        BenchFailed: there is no such program.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = llama_program("llama-bench", path)

    def version(self) -> str:
        """Return the version of llama.cpp that the program states."""
        return program_version(self._path)

    def decode_tokens_per_s(
        self, model: Path, n_tokens: int, n_threads: int, *, n_depth: int = 0
    ) -> float:
        """Return the speed of generating `n_tokens` after `n_depth` tokens of context.

        Raises:
            BenchFailed: the program failed or printed something else than its JSON.
        """
        words = ["-m", str(model), "-p", "0", "-n", str(n_tokens), "-t", str(n_threads)]
        words += ["-d", str(n_depth)]
        command = [str(self._path), *words, "-ngl", "0", "-r", "1", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            (entry,) = json.loads(done.stdout)
            return float(entry["avg_ts"])
        except (ValueError, KeyError, TypeError) as error:
            details = "\n".join(done.stderr.splitlines()[-20:])
            sentence = f"llama-bench failed with status {done.returncode}"
            raise BenchFailed(sentence, details) from error


def _in_folder(name: str) -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) / name if folder else None
