"""Owns which requests may have ended the engine, and keeps those that did away from it.

Whoever was worked on when an engine died is tried again, one at a time, until the next token. So
a request that ends engines is found, and those that ran beside it are not blamed a second time.
"""

from __future__ import annotations

import asyncio
import hashlib

import msgspec

from app.errors import RequestQuarantined
from app.protocol import Generate, encode

_MOST_DEATHS = 2
_MOST_KEPT = 64
_WHY = "The engine ended twice while it worked on this request; it is not tried again"


class Quarantine:
    """The requests that no engine gets to see again.

    Attributes:
        trial: held by the request that is tried while others wait.
    """

    def __init__(self) -> None:
        self._digests: dict[bytes, None] = {}
        self.trial = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._digests)

    def check(self, model_name: str, command: Generate) -> None:
        """Refuse a request that ended the engine before.

        Raises:
            RequestQuarantined: it did.
        """
        if self._digests and _digest(model_name, command) in self._digests:
            raise RequestQuarantined(_WHY)

    def blame(self, model_name: str, command: Generate, n_deaths: int) -> None:
        """Note that an engine died of a request, for the `n_deaths`-th time.

        Raises:
            RequestQuarantined: it is not to be tried again.
        """
        if n_deaths < _MOST_DEATHS:
            return
        self._digests[_digest(model_name, command)] = None
        while len(self._digests) > _MOST_KEPT:
            del self._digests[next(iter(self._digests))]
        raise RequestQuarantined(_WHY)


def _digest(model_name: str, command: Generate) -> bytes:
    """Return what tells two requests apart that are not the same for the engine."""
    plain = msgspec.structs.replace(command, request_id="", sent_s=0.0, resumes=None)
    return hashlib.sha256(model_name.encode() + b"\0" + encode(plain)).digest()
