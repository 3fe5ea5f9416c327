"""CPU time and processes are seen as the kernel sees them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmark.processes import (
    clean_environment,
    cpu_ms,
    end,
    is_running,
    with_descendants,
)


def test_cpu_time_is_that_of_the_process() -> None:
    before = time.process_time() * 1000.0
    seen = cpu_ms(os.getpid())
    assert before <= seen <= time.process_time() * 1000.0


def test_children_are_found_and_end() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.pid in with_descendants(os.getpid())
        assert is_running(child.pid)
        end(child, 10.0)
        assert child.pid not in with_descendants(os.getpid())
    assert not is_running(child.pid)


def test_a_thread_that_ends_while_it_is_looked_at_has_no_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = Path(f"/proc/{os.getpid()}/task/gone/children")
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    assert with_descendants(os.getpid()) == [os.getpid()]


def test_the_environment_configures_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLER_N_CTX", "512")
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "512")
    monkeypatch.setenv("BENCH_KEPT", "yes")
    environment = clean_environment()
    assert environment["BENCH_KEPT"] == "yes"
    assert not {"DISTILLER_N_CTX", "LLAMA_ARG_CTX_SIZE"} & environment.keys()
