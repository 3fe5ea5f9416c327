"""Owns what a run was asked for, as plain values that every measurement gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.llama_bench import llama_program
from scripts.benchmark.peer_server import LlamaServer, Peer, PeerAtUrl, llama_server_options
from scripts.benchmark.random_model import ensure_model
from scripts.benchmark.server import ServerUnderTest

DEFAULT_PARALLEL = 4


@dataclass(frozen=True)
class Plan:
    """The conditions of one run.

    Attributes:
        model: the GGUF for speed; None makes the random-weight 0.5B one.
        small_model: the bundled GGUF, for start, memory and stop.
        n_threads: compute threads, for ours and for peers.
        n_ctx: tokens of context, for ours and for peers.
        n_repeats: samples of each figure.
        n_tokens: tokens generated for a sample of decode speed.
        llama_bench: path of the program; None looks in the usual places.
        llama_server: the same.
        peer_options: further options for `llama-server`.
        peer_url: a server that runs already, to be used in the place of `llama-server`.
    """

    model: Path | None
    small_model: Path
    n_threads: int
    n_ctx: int
    n_repeats: int
    n_tokens: int
    llama_bench: Path | None = None
    llama_server: Path | None = None
    peer_options: tuple[str, ...] = ()
    peer_url: str | None = None

    def speed_model(self) -> Path:
        """Return the model for speed, made first where it is missing."""
        model = self.model or ensure_model("0.5b", "q4_0")
        return _existing(model)

    @property
    def n_long_repeats(self) -> int:
        """Samples of a figure that takes half a minute each: one for three of the others."""
        return -(-self.n_repeats // 3)

    def speed_server(
        self,
        parallel: int = DEFAULT_PARALLEL,
        *,
        model: Path | None = None,
        settings: dict[str, Any] | None = None,
    ) -> ServerUnderTest:
        """Start the server with the model for speed and the run's threads and context.

        Args:
            parallel: requests answered at the same time.
            model: another model to begin with.
            settings: further settings, by name.

        Raises:
            BenchFailed: the machine has no room for the context.
        """
        threads = {"n_threads": self.n_threads, "n_threads_batch": self.n_threads}
        values = threads | {"n_ctx": self.n_ctx, "parallel": parallel} | (settings or {})
        server = ServerUnderTest(model or self.speed_model(), values)
        n_ctx = server.client.get("/health")[1]["engine"]["n_ctx"]
        if n_ctx != self.n_ctx:
            server.close()
            raise BenchFailed(f"{n_ctx} tokens of context fit here, not {self.n_ctx}: see --ctx")
        return server

    def llama_server_options(self, parallel: int = DEFAULT_PARALLEL) -> list[str]:
        """Return the options that `llama-server` is started with, besides model and address."""
        return llama_server_options(
            n_ctx=self.n_ctx, n_threads=self.n_threads, parallel=parallel, more=self.peer_options
        )

    def llama_server_here(self, parallel: int = DEFAULT_PARALLEL) -> LlamaServer:
        """Start a `llama-server` like `speed_server`."""
        program = llama_program("llama-server", self.llama_server)
        return LlamaServer(program, self.speed_model(), self.llama_server_options(parallel))

    def peer_server(self, parallel: int = DEFAULT_PARALLEL) -> Peer:
        """Return the server to compare with, the one at a URL or our own `llama-server`."""
        if self.peer_url is not None:
            return PeerAtUrl(self.peer_url)
        return self.llama_server_here(parallel)

    @contextmanager
    def both_servers(
        self, parallel: int = DEFAULT_PARALLEL
    ) -> Iterator[tuple[ServerUnderTest, Peer]]:
        """Run ours and the peer side by side; each idles while the other is asked."""
        with self.speed_server(parallel) as ours, self.peer_server(parallel) as peer:
            yield ours, peer

    def small_server(self) -> ServerUnderTest:
        """Start the server with the small model, as it comes."""
        return ServerUnderTest(_existing(self.small_model))

    def fake_server(self, step_ms: float) -> ServerUnderTest:
        """Start the server with an engine that only pretends to compute."""
        return ServerUnderTest(
            _existing(self.small_model),
            {"n_ctx": self.n_ctx, "n_threads": 1, "n_threads_batch": 1},
            launcher="scripts.benchmark.fake_server",
            environment={"BENCH_FAKE_STEP_MS": str(step_ms)},
        )


def _existing(model: Path) -> Path:
    if not model.is_file():
        raise BenchFailed(f"{model}: there is no such model file")
    return model
