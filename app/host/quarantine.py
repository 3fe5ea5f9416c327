"""Owns which requests crash engines, and rejects those that did.

Requests that were running when an engine crashed are retried one at a time; new requests wait
until those retries have made progress. This isolates a request that crashes engines, so that those
that ran beside it are not counted as suspects a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import msgspec

from app.errors import RequestQuarantined
from app.protocol import Generate, encode

_MAX_CRASHES = 2
_MAX_SHARED_CRASHES = 4  # bounds requests that crash engines only beside others
_MAX_ENTRIES = 64
_TTL_S = 3600.0
_MESSAGE = "The engine crashed more than once while processing this request; it is not retried"


class Quarantine:
    """The requests that no engine gets for an hour, and the retries that decide which those are.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expires_s: dict[bytes, float] = {}
        self._retry_lock = asyncio.Lock()
        self._n_retries = 0
        self._no_retries = asyncio.Event()
        self._no_retries.set()
        self._suspects: WeakKeyDictionary[object, object] = WeakKeyDictionary()
        self._n_running: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._expires_s)

    # ------------------------------------------------------------ retries

    @property
    def is_retrying(self) -> bool:
        """Whether a request is retried alone, or waits for its retry."""
        return self._n_retries > 0

    async def begin_retry(self) -> None:
        """Wait until this request may be retried alone; requests that are not retried wait."""
        self._n_retries += 1
        self._no_retries.clear()
        try:
            await self._retry_lock.acquire()
        except asyncio.CancelledError:
            self._drop_retry()
            raise

    def end_retry(self) -> None:
        """Let the next request be retried."""
        self._retry_lock.release()
        self._drop_retry()

    def _drop_retry(self) -> None:
        self._n_retries -= 1
        if not self._n_retries:
            self._no_retries.set()

    async def retries_done(self) -> None:
        """Wait until no request is retried alone."""
        await self._no_retries.wait()

    # ------------------------------------------------------------ crashes

    def set_suspect(self, engine: object, request: object | None) -> None:
        """Name the request that a crash of `engine` is attributed to from now on.

        Args:
            request: None attributes a crash to every request that runs in the engine.
        """
        if request is None:
            self._suspects.pop(engine, None)
        else:
            self._suspects[engine] = request

    def suspect(self, engine: object) -> object | None:
        """Return the request that a crash of `engine` is attributed to; None is all running."""
        return self._suspects.get(engine)

    def add_running(self, engine: object, n: int) -> None:
        """Count a request of `engine` that is being computed (1), or that no longer is (-1)."""
        self._n_running[engine] = self._n_running.get(engine, 0) + n

    def has_running(self, engine: object) -> bool:
        """Whether a crash of `engine` may be due to a request that has left its queue."""
        return self._n_running.get(engine, 0) > 0

    def check(self, model_name: str, command: Generate) -> None:
        """Reject a request that crashed engines before.

        Raises:
            RequestQuarantined: it did.
        """
        if self._expires_s:
            expires_s = self._expires_s.get(_digest(model_name, command), 0.0)
            if self._clock() < expires_s:
                raise RequestQuarantined(_MESSAGE)

    def record_crash(
        self, model_name: str, command: Generate, n_crashes: int, *, is_shared: bool
    ) -> None:
        """Record that an engine crashed while running a request, for the `n_crashes`-th time.

        Args:
            is_shared: whether another request may have caused the crash.

        Raises:
            RequestQuarantined: the request must not be retried.
        """
        if n_crashes < (_MAX_SHARED_CRASHES if is_shared else _MAX_CRASHES):
            return
        self._expires_s[_digest(model_name, command)] = self._clock() + _TTL_S
        while len(self._expires_s) > _MAX_ENTRIES:
            del self._expires_s[next(iter(self._expires_s))]
        raise RequestQuarantined(_MESSAGE)


def _digest(model_name: str, command: Generate) -> bytes:
    """Return a digest that is equal for requests that are the same to the engine."""
    plain = msgspec.structs.replace(
        command, request_id="", sent_s=0.0, is_admitted=False, resumes=None
    )
    return hashlib.sha256(model_name.encode() + b"\0" + encode(plain)).digest()
