"""Owns the server under test: its start, its log, its processes and its end.

It is started as people start it, with settings in a file of its own, so that neither the
machine's configuration nor the environment changes what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.processes import (
    ClosedAtExit,
    clean_environment,
    end,
    is_running,
    with_descendants,
)

_PROJECT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.01


class ServerUnderTest(ClosedAtExit):
    """A running server with one model; leaving the `with` block ends it.

    Args:
        model: the GGUF file to serve.
        settings: settings that differ from their defaults, by name.
        launcher: the module to run instead of the server itself; it must come to the same.
        environment: variables for it.

    Raises:
        BenchFailed: the server ended or did not become healthy.
    """

    def __init__(
        self,
        model: Path,
        settings: dict[str, Any] | None = None,
        *,
        launcher: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="distiller-bench-")
        self._lines: deque[str] = deque(maxlen=20)
        self._url: queue.Queue[str | None] = queue.Queue()
        config = self._write_config(model, settings or {})
        module = [*_isolation(), "-m", "app"] if launcher is None else ["-s", "-m", launcher]
        command = [sys.executable, *module, "serve", "--config", str(config)]
        self.began_s = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            cwd=_PROJECT,
            env=clean_environment() | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the benchmark alone, which then ends this
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.client = self._connect()
            self.start_ms = self._wait_until_healthy()
        except BaseException:
            self.close()
            raise

    def _write_config(self, model: Path, settings: dict[str, Any]) -> Path:
        values = {
            "host": "127.0.0.1",
            "port": 0,
            "models_dir": str(model.resolve().parent),
            "model_name": model.name,
            "cache_dir": str(Path(self._folder.name) / "cache"),
            "log_format": "json",
        }
        path = Path(self._folder.name) / "bench.toml"
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in (values | settings).items()]
        path.write_text("".join(lines))
        return path

    def _read_log(self) -> None:
        """Take every line off the pipe, so that the server never waits for its log."""
        for line in self._process.stderr or ():
            self._lines.append(line)
            if '"event": "listening"' in line or '"event":"listening"' in line:
                self._url.put(json.loads(line)["url"])
        self._url.put(None)

    def _connect(self) -> HttpClient:
        try:
            url = self._url.get(timeout=_START_TIMEOUT_S)
        except queue.Empty:
            url = None
        if url is None:
            raise self._failure("the server did not begin to listen")
        self.url = url
        return HttpClient(url)

    def _wait_until_healthy(self) -> float:
        while True:
            status, health = self.client.get("/health")
            elapsed_s = time.perf_counter() - self.began_s
            if status == 200:
                return elapsed_s * 1000.0
            has_failed = health.get("status") in ("error", "no_model")
            has_ended = self._process.poll() is not None
            if has_failed or has_ended or elapsed_s > _START_TIMEOUT_S:
                raise self._failure("the server did not become healthy")
            time.sleep(_POLL_S)

    def _failure(self, sentence: str) -> BenchFailed:
        return BenchFailed(sentence, "".join(self._lines))

    def pids(self) -> list[int]:
        """Return the server's process, then all its descendants."""
        return with_descendants(self._process.pid)

    def stop_ms(self) -> float:
        """Ask the server to end; return how long it took until all its processes were gone."""
        pids = self.pids()
        began_s = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"the server did not end within {_STOP_TIMEOUT_S} s") from error
        self._wait_until_gone(pids, began_s)
        return (time.perf_counter() - began_s) * 1000.0

    def kill(self) -> None:
        """End all its processes as a power cut does, with SIGKILL."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._wait_until_gone(pids, time.perf_counter())

    def _wait_until_gone(self, pids: Iterable[int], began_s: float) -> None:
        while any(map(is_running, pids)):
            if time.perf_counter() - began_s > _STOP_TIMEOUT_S:
                raise self._failure("a process of the server outlived it")
            time.sleep(_POLL_S / 10)

    def close(self) -> None:
        """End the server by force where it still runs, and remove its files."""
        end(self._process, _STOP_TIMEOUT_S)
        self._reader.join(timeout=5)
        if self._process.stderr:
            self._process.stderr.close()
        self._folder.cleanup()


def _isolation() -> list[str]:
    """Return `-I` where the project is installed, as scripts/run and the service start it."""
    try:
        metadata.distribution("distiller-llm")
    except metadata.PackageNotFoundError:
        return []
    return ["-I"]
