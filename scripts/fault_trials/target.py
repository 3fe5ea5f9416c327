"""Owns the server that a trial is made on, and the look at whether it is still well."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx

from scripts.benchmark.process_memory import memory_mb
from scripts.benchmark.processes import is_running
from scripts.benchmark.server import ServerUnderTest
from scripts.fault_trials.tally import Tally

MODELS = Path(__file__).resolve().parents[2] / "models"
BUNDLED = "distiller-nano-3m-q8_0.gguf"
GOOD = "good.gguf"
HANG_S = 5.0
CHAT = "/v1/chat/completions"
_SETTLE_S = 20.0
_QUESTION = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 12,
}


class Target(ServerUnderTest):
    """A server with a copy of the bundled model, `good.gguf`.

    Args:
        folder: for the models; it has to exist.
        settings: settings that differ from those of a trial.
        hang_s: seconds without an answer that count as hanging.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any] | None = None, *, hang_s: float = HANG_S
    ) -> None:
        model = folder / GOOD
        if not model.exists():
            shutil.copy(MODELS / BUNDLED, model)
        usual = {"n_threads": 1, "n_ctx": 512, "max_tokens": 16, "disk_cache_mb": 0}
        super().__init__(model, usual | (settings or {}))
        self.folder = folder
        self.hang_s = hang_s
        self.http = httpx.Client(base_url=self.url, timeout=hang_s)
        self.http_pid = self.pids()[0]
        self.answer = self.ask()

    def close(self) -> None:
        """End the server."""
        if hasattr(self, "http"):
            self.http.close()
        super().close()

    # ------------------------------------------------------------ what it says

    def ask(self) -> str:
        """Return the answer to a question that always has the same one."""
        response = self.http.post(CHAT, json=_QUESTION, timeout=60.0)
        if response.status_code != 200:
            return f"{response.status_code}: {response.text}"
        content: str = response.json()["choices"][0]["message"]["content"]
        return content

    @property
    def engine(self) -> dict[str, Any]:
        """What `/health` says of the engine."""
        body: dict[str, Any] = self.http.get("/health").json()["engine"]
        return body

    def load(self, name: str, *, timeout_s: float, **configs: Any) -> httpx.Response:
        """Have a model loaded."""
        body = {"model_name": name, "load_model_configs": configs}
        return self.http.post("/setModel", json=body, timeout=timeout_s)

    # ------------------------------------------------------------ what the system says

    @property
    def is_alive(self) -> bool:
        """Whether the HTTP process runs."""
        return is_running(self.http_pid)

    def n_files(self) -> int:
        """Return how many files the HTTP process has open."""
        return len(list(Path(f"/proc/{self.http_pid}/fd").iterdir()))

    def cache_bytes(self) -> int:
        """Return what the files of the prompt cache take."""
        folder = Path(self._folder.name) / "cache"
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of the HTTP process and of what is below it."""
        pids = self.pids()
        return memory_mb(pids[:1])[0], memory_mb(pids[1:])[0]

    def n_engines(self) -> int:
        """Return how many processes there are below the HTTP process, once they have settled."""
        deadline = time.monotonic() + _SETTLE_S
        while (found := len(self.pids()) - 1) != 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def check(self, tally: Tally, after: str) -> None:
        """Record what is not as it was at the start."""
        if not self.is_alive:
            tally.lose(f"the HTTP process ended after {after}")
        elif (answer := self.ask()) != self.answer:
            tally.lose(f"the answer after {after} is {answer!r}, not {self.answer!r}")
        elif (found := self.n_engines()) != 1:
            tally.lose(f"{found} engines run after {after}")
