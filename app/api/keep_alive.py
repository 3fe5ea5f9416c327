"""Owns how long each model is kept after its last use, as Ollama's clients ask for and see it."""

from __future__ import annotations

import time
from collections.abc import Callable

DEFAULT_S = 300.0
FOREVER = float("inf")


class KeepAlive:
    """When the time of each model runs out; the value of the last request counts.

    Nothing is unloaded when it does: the service keeps its model until another one is asked for.

    Args:
        now: returns the time in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._asked_s: dict[str, float] = {}
        self._used_s: dict[str, float] = {}

    def note(self, model: str, keep_alive_s: float | None = None) -> None:
        """Record the use of a model.

        Args:
            model: its file name.
            keep_alive_s: what the request asked for; negative is for ever, None leaves it to the
                default.
        """
        asked = DEFAULT_S if keep_alive_s is None else keep_alive_s
        self._asked_s[model] = FOREVER if asked < 0 else asked
        self._used_s[model] = self._now()

    def expires_s(self, model: str) -> float:
        """Return when a model's time runs out, in seconds since 1970; `FOREVER` is never.

        That of a model that no such request used begins now.
        """
        return self._used_s.get(model, self._now()) + self._asked_s.get(model, DEFAULT_S)
