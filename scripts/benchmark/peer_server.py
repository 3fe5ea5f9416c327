"""Owns the server that ours is compared with: a `llama-server` of our own, or one at a URL."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.processes import ClosedAtExit, clean_environment, end, with_descendants

_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.01


class Peer(Protocol):
    """What measurements need of the other server."""

    name: str
    client: HttpClient

    def __enter__(self) -> Self:
        """Leaving the block ends a peer that was started here."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PeerAtUrl:
    """A server that somebody else started and will end."""

    name = "peer"

    def __init__(self, url: str) -> None:
        self.client = HttpClient(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def llama_server_options(
    *, n_ctx: int, n_threads: int, parallel: int, more: Sequence[str] = ()
) -> list[str]:
    """Return the options that give llama-server what our server has.

    The same context, shared by all requests as ours is, the same threads, all layers on the
    processor, no web pages; the rest stays as llama-server's authors chose it.
    """
    numbers = {"-c": n_ctx, "-t": n_threads, "-tb": n_threads, "-np": parallel, "-ngl": 0}
    words = [word for option, value in numbers.items() for word in (option, str(value))]
    return [*words, "--kv-unified", "--no-webui", *more]


class LlamaServer(ClosedAtExit):
    """A running llama-server; leaving the `with` block ends it.

    Attributes:
        start_ms: exec to the first 200 of `/health`.

    Raises:
        BenchFailed: it ended or did not become healthy.
    """

    name = "llama-server"

    def __init__(self, program: Path, model: Path, options: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the server
        port = _free_port()
        self.client = HttpClient(f"http://127.0.0.1:{port}")
        address = ["--host", "127.0.0.1", "--port", str(port)]
        began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [str(program), "-m", str(model), *address, *options],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self.start_ms = self._wait_until_healthy(began_s)
        except BaseException:
            self.close()
            raise

    def _wait_until_healthy(self, began_s: float) -> float:
        while True:
            status, _ = self.client.get("/health")
            elapsed_s = time.perf_counter() - began_s
            if status == 200:
                return elapsed_s * 1000.0
            if self._process.poll() is not None or elapsed_s > _START_TIMEOUT_S:
                self._log.seek(0)
                details = "".join(self._log.readlines()[-20:])
                raise BenchFailed("llama-server did not become healthy", details)
            time.sleep(_POLL_S)

    def pids(self) -> list[int]:
        """Return the server's process, then all its descendants."""
        return with_descendants(self._process.pid)

    def close(self) -> None:
        """End the server."""
        end(self._process, _STOP_TIMEOUT_S)
        self._log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
