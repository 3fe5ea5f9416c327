"""Owns the models that leave memory: their requests finish, then their engines end.

`app.host.supervisor` decides which model leaves, and whether before or after the next one loads.
"""

from __future__ import annotations

from app.host.serving import Serving
from app.logs import get_logger

log = get_logger("supervisor")


class Evictions:
    """The models that are being evicted."""

    def __init__(self) -> None:
        self._draining: list[Serving] = []

    @property
    def draining(self) -> list[Serving]:
        """Evicted models whose requests are not finished."""
        return list(self._draining)

    async def evict(self, serving: Serving, timeout_s: float | None) -> None:
        """Wait for the requests of a model, then close its engine.

        Args:
            timeout_s: how long to wait; None waits for all requests.
        """
        self._draining.append(serving)
        try:
            await serving.engine.drained(timeout_s)
            await serving.engine.close()
        finally:
            self._draining.remove(serving)
        log.info("model_unloaded", model=serving.name, pid=serving.engine.pid)
