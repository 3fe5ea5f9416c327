"""Owns which requests may have ended the engine, and keeps those that did away from it.

Whoever was worked on when an engine died is tried again, one at a time, until it gets on; new
requests wait until all have been. So a request that ends engines is found, and those that ran
beside it are not blamed a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable

import msgspec

from app.errors import RequestQuarantined
from app.protocol import Generate, encode

_MOST_DEATHS = 2
_MOST_IN_COMPANY = 4  # whoever ends engines only there has to be stopped too
_MOST_KEPT = 64
_KEPT_S = 3600.0
_WHY = "The engine ended more than once while it worked on this request; it is not tried again"


class Quarantine:
    """The requests that no engine gets to see for an hour, and those that may become it.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s: dict[bytes, float] = {}
        self._trial = asyncio.Lock()
        self._n_suspects = 0
        self._nobody_is_tried = asyncio.Event()
        self._nobody_is_tried.set()

    def __len__(self) -> int:
        return len(self._until_s)

    @property
    def is_trying(self) -> bool:
        """Whether a request is tried, or waits for its trial."""
        return self._n_suspects > 0

    async def begin_trial(self) -> None:
        """Wait until the request may be tried; whoever is not on trial has to wait meanwhile."""
        self._n_suspects += 1
        self._nobody_is_tried.clear()
        try:
            await self._trial.acquire()
        except asyncio.CancelledError:
            self._forget_one()
            raise

    def end_trial(self) -> None:
        """Let the next one be tried."""
        self._trial.release()
        self._forget_one()

    def _forget_one(self) -> None:
        self._n_suspects -= 1
        if not self._n_suspects:
            self._nobody_is_tried.set()

    async def all_tried(self) -> None:
        """Wait until no request is tried."""
        await self._nobody_is_tried.wait()

    def check(self, model_name: str, command: Generate) -> None:
        """Refuse a request that ended the engine before.

        Raises:
            RequestQuarantined: it did.
        """
        if self._until_s:
            until_s = self._until_s.get(_digest(model_name, command), 0.0)
            if self._clock() < until_s:
                raise RequestQuarantined(_WHY)

    def blame(self, model_name: str, command: Generate, n_deaths: int, *, in_company: bool) -> None:
        """Note that an engine died of a request, for the `n_deaths`-th time.

        Args:
            in_company: whether it may as well have died of another one.

        Raises:
            RequestQuarantined: it is not to be tried again.
        """
        if n_deaths < (_MOST_IN_COMPANY if in_company else _MOST_DEATHS):
            return
        self._until_s[_digest(model_name, command)] = self._clock() + _KEPT_S
        while len(self._until_s) > _MOST_KEPT:
            del self._until_s[next(iter(self._until_s))]
        raise RequestQuarantined(_WHY)


def _digest(model_name: str, command: Generate) -> bytes:
    """Return what tells two requests apart that are not the same for the engine."""
    plain = msgspec.structs.replace(command, request_id="", sent_s=0.0, resumes=None)
    return hashlib.sha256(model_name.encode() + b"\0" + encode(plain)).digest()
