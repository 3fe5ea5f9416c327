"""Owns what a run was asked for, as plain values that every measurement gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.random_model import ensure_model
from scripts.benchmark.server import ServerUnderTest


@dataclass(frozen=True)
class Plan:
    """The conditions of one run.

    Attributes:
        model: the GGUF for speed; None makes the random-weight 0.5B one.
        small_model: the bundled GGUF, for start, memory and stop.
        n_threads: compute threads, for ours and for peers.
        n_repeats: samples of each figure.
        n_tokens: tokens generated for a sample of decode speed.
        llama_bench: path of the program; None looks in the usual places.
    """

    model: Path | None
    small_model: Path
    n_threads: int
    n_repeats: int
    n_tokens: int
    llama_bench: Path | None

    def speed_model(self) -> Path:
        """Return the model for speed, made first where it is missing."""
        model = self.model or ensure_model("0.5b", "q4_0")
        return _existing(model)

    def speed_server(self) -> ServerUnderTest:
        """Start the server with the model for speed and the run's threads."""
        threads = {"n_threads": self.n_threads, "n_threads_batch": self.n_threads}
        return ServerUnderTest(self.speed_model(), threads)

    def small_server(self) -> ServerUnderTest:
        """Start the server with the small model, as it comes."""
        return ServerUnderTest(_existing(self.small_model))


def _existing(model: Path) -> Path:
    if not model.is_file():
        raise BenchFailed(f"{model}: there is no such model file")
    return model
