"""Owns the two servers of a trial: one with the cache, one that computes every prompt anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from scripts.benchmark.processes import ClosedAtExit
from scripts.benchmark.server import ServerUnderTest
from scripts.cache_trials.client import TIMEOUT_S, Answer, Body, TrialFailed, ask

OTHER = "other.gguf"
_BUNDLED = Path(__file__).resolve().parents[2] / "models" / "distiller-nano-3m-q8_0.gguf"
_SETTLE_S = 20.0
_NOTHING_S = 2.0
_POLL_S = 0.02


def with_other_model(model: Path, folder: Path) -> Path:
    """Put a model and another one to switch to into a folder; return the path of the first."""
    here = folder / model.name
    try:
        os.link(model, here)
    except OSError:
        shutil.copy(model, here)
    shutil.copy(_BUNDLED, folder / OTHER)
    return here


class WarmServer(ClosedAtExit):
    """A server with the cache, whose folder outlives restarts.

    Args:
        model: the model; `OTHER` lies beside it.
        settings: settings by name.
        folder: of the cache.
    """

    def __init__(self, model: Path, settings: dict[str, Any], folder: Path) -> None:
        self.model = model
        self._settings = settings | {"cache_dir": str(folder)}
        self._start()

    def _start(self) -> None:
        self._server = ServerUnderTest(self.model, self._settings)
        self.http = httpx.Client(base_url=self._server.url, timeout=TIMEOUT_S)

    def close(self) -> None:
        """End the server."""
        self.http.close()
        self._server.close()

    def restart(self, *, kill: bool) -> None:
        """End it, by SIGKILL as a power cut or by SIGTERM, and start another one."""
        if kill:
            self._server.kill()
        else:
            self._server.stop_ms()
        self.close()
        self._start()

    def forget(self) -> None:
        """Have everything forgotten, so that a case begins as if it were the first."""
        self.http.delete("/cache").raise_for_status()

    @property
    def n_deaths(self) -> int:
        """How many engines died since the start."""
        return int(self.http.get("/health").json()["engine"]["restarts"])

    def kill_engine(self) -> None:
        """Kill the engine that serves."""
        pid = self.http.get("/health").json()["engine"].get("pid")
        if pid is not None:
            os.kill(int(pid), signal.SIGKILL)

    def wait_for_engine(self, n_deaths: int) -> None:
        """Wait until an engine serves after so many died.

        Raises:
            TrialFailed: none does.
        """
        deadline_s = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline_s:
            health = self.http.get("/health").json()
            if health["status"] == "ok" and health["engine"]["restarts"] >= n_deaths:
                return
            time.sleep(_POLL_S)
        raise TrialFailed("no engine serves after one was killed")

    def tier(self, name: str) -> dict[str, Any]:
        """What `/cache` says of the tier `memory` or `disk`."""
        found: dict[str, Any] = self.http.get("/cache").json()["tiers"][name]
        return found

    def wait_for_disk(self) -> None:
        """Wait until what is to be saved at once is on disk; it may be that nothing is."""
        began_s = time.monotonic()
        before: object = None
        while (waited_s := time.monotonic() - began_s) < _SETTLE_S:
            tier = self.tier("disk")
            now = tier["saves"], tier["entries"]
            may_end = tier["entries"] or waited_s > _NOTHING_S
            if may_end and not tier["waiting"] and now == before:
                return
            before = now
            time.sleep(_POLL_S if tier["waiting"] else 5 * _POLL_S)


class ColdServer(ClosedAtExit):
    """A server without any cache; the same request is asked once.

    Args:
        model: the model.
        settings: settings by name.
    """

    def __init__(self, model: Path, settings: dict[str, Any]) -> None:
        off = {"idle_cache_mb": 0, "disk_cache_mb": 0, "parallel": 1, "speculation": False}
        self._server = ServerUnderTest(model, settings | off)
        self._http = httpx.Client(base_url=self._server.url, timeout=TIMEOUT_S)
        self._pool = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._known: dict[str, Future[Answer]] = {}
        self._counts: dict[str, int] = {}

    def close(self) -> None:
        """End the server."""
        self._pool.shutdown(cancel_futures=True)
        self._http.close()
        self._server.close()

    def submit(self, body: Body) -> Future[Answer]:
        """Have a request answered by a cold run."""
        key = json.dumps(body, sort_keys=True)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._pool.submit(self._cold, body)
            return self._known[key]

    def forget(self) -> None:
        """Forget the answers that are there."""
        with self._lock:
            self._known.clear()
            self._counts.clear()

    def _cold(self, body: Body) -> Answer:
        self._displace()
        answer = ask(self._http, body)
        if answer.n_cached:
            raise TrialFailed(f"the cold run found {answer.n_cached} tokens cached")
        return answer

    def _displace(self) -> None:
        """Have the one sequence hold something else.

        The cache is not cleared: the tokens of the calls that a grammar made are remembered with
        it, and text does not tell them.
        """
        body = {"prompt": [0], "max_tokens": 1}
        self._http.post("/v1/completions", json=body).raise_for_status()

    def prompt(self, body: Body) -> str:
        """Return the prompt that a request becomes."""
        wanted = {name: body[name] for name in ("messages", "tools") if name in body}
        response = self._http.post("/apply-template", json=wanted)
        if response.status_code != 200:
            raise TrialFailed(f"{response.status_code}: {response.text}")
        return str(response.json()["prompt"])

    def n_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        with self._lock:
            known = self._counts.get(text)
        if known is None:
            response = self._http.post("/tokenize", json={"content": text})
            known = len(response.json()["tokens"])
            with self._lock:
                self._counts[text] = known
        return known
