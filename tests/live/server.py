"""Owns a server under test: starts the real program, reads its log, ends it by its own id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NANO = "distiller-nano-3m-q8_0.gguf"
SERVE = ("-m", "app", "serve")
START_S = 60.0
_UNWANTED = (
    "CREDENTIALS_DIRECTORY",
    "DISTILLER_LLM_",
    "JOURNAL_STREAM",
    "LISTEN_",
    "MCP_CONFIG_FILE",
    "MEMORY_PRESSURE_",
    "NOTIFY_",
    "WATCHDOG_",
)


class LiveServer:
    """A server process on a free port.

    Args:
        arguments: command-line options after `serve`; without `--cache-dir` there is no prompt
            cache on disk, and what else is kept there goes with the server.
        command: what to run instead of `python -m app serve`.
        cwd: folder to run it in.
        environment: variables it gets besides those of the tests.
        pass_fds: descriptors it inherits.
    """

    def __init__(
        self,
        *arguments: str,
        command: tuple[str, ...] = SERVE,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._log: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self.raw: list[str] = []
        self._own_folder = tempfile.TemporaryDirectory()
        if "--cache-dir" not in arguments:
            own = ("--cache-dir", self._own_folder.name, "--disk-cache-mb", "0")
            arguments = (*arguments, *own)
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", "0", "--n-threads", "1", *arguments],
            cwd=cwd,
            env=_clean_environment() | dict(environment or {}),
            pass_fds=pass_fds,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(timeout=60.0)
        try:
            self.url = str(self.wait_for_log("listening")["url"])
        except AssertionError:
            self.stop()
            raise
        self.http.base_url = httpx.URL(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """End the server as systemd does and return its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=10)
        if self.process.stderr:
            self.process.stderr.close()
        self._own_folder.cleanup()
        return status

    def kill(self) -> None:
        """End the server and its engine as a power cut does."""
        engine_pid = self.engine_pid
        self.process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine_pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    # ------------------------------------------------------------ log

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw.append(line)
            with self._changed:
                if line.startswith("{"):
                    self._log.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All log lines so far."""
        with self._changed:
            return list(self._log)

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event so far."""
        return [line for line in self.lines if line["event"] == event]

    def wait_for_log(
        self, event: str, *, timeout_s: float = START_S, **facts: Any
    ) -> dict[str, Any]:
        """Return the first log line of an event with these facts; waits for it."""

        def found() -> dict[str, Any] | None:
            for line in self._log:
                if line["event"] == event and all(line.get(k) == v for k, v in facts.items()):
                    return line
            return None

        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (line := found()) is None:
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no log line {event} {facts}; log: {self.raw}")
                self._changed.wait(min(left, 0.2))
        return line

    # ------------------------------------------------------------ state

    def wait_healthy(self) -> Self:
        """Wait until a model serves."""
        self.wait_until(lambda: self.http.get("/health").status_code == 200)
        return self

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = START_S) -> None:
        """Wait until a condition holds that only asking can tell."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"the condition did not come true; log: {self.raw}")
            time.sleep(0.02)

    @property
    def health(self) -> dict[str, Any]:
        """The body of `/health`."""
        body: dict[str, Any] = self.http.get("/health").json()
        return body

    @property
    def engine_pid(self) -> int:
        """Process id of the engine that serves."""
        pid: int = self.health["engine"]["pid"]
        return pid

    def children(self) -> list[int]:
        """Process ids of the engines, those that load too."""
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    # ------------------------------------------------------------ requests

    def connect(self) -> socket.socket:
        """Return a raw connection to the server."""
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def chat(self, content: str, **fields: Any) -> dict[str, Any]:
        """Ask one question, greedily, and return the whole response."""
        body = {"messages": [user(content)], "temperature": 0, **fields}
        response = self.http.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def stream(self, content: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Ask one question and yield the chunks of the streamed answer."""
        yield from self.stream_of({"messages": [user(content)], "temperature": 0, **fields})

    def stream_of(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of the streamed answer to a request."""
        body = {**body, "stream": True}
        with self.http.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            yield from chunks(response)


def chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event of a stream, up to `[DONE]`."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without [DONE]")


def user(content: str) -> dict[str, str]:
    """Return a user message."""
    return {"role": "user", "content": content}


def text_of(pieces: Iterator[dict[str, Any]]) -> str:
    """Return the text of a streamed answer."""
    return "".join(
        choice["delta"].get("content") or "" for piece in pieces for choice in piece["choices"]
    )


def _clean_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_UNWANTED)}
    return {**kept, "PYTHONPATH": str(ROOT)}
