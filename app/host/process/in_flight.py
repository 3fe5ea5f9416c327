"""Owns an engine's requests in flight: their mailboxes and their ids in the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from app.host.process.mailbox import Mailbox, Sentinel
from app.logs import bound
from app.protocol import RequestEvent

_MAX_LOGGED_IDS = 16


class InFlightRequests:
    """The requests that an engine has not finished."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, Mailbox] = {}
        self._logged_ids: dict[str, str] = {}
        self._n_kept = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._mailboxes)

    def add(self, request_id: str) -> Mailbox:
        """Register a request and return its mailbox.

        The log names it by the `request_id` bound to the current context, else by its own id.
        """
        mailbox = self._mailboxes[request_id] = Mailbox()
        self._logged_ids[request_id] = bound("request_id") or request_id
        self._empty.clear()
        return mailbox

    def remove(self, request_id: str) -> None:
        """Unregister a request."""
        del self._mailboxes[request_id], self._logged_ids[request_id]
        self._note_empty()

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        """Let `wait_empty` wait: there will be more requests."""
        self._n_kept += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._n_kept -= 1
            self._note_empty()

    def _note_empty(self) -> None:
        if not self._mailboxes and not self._n_kept:
            self._empty.set()

    def deliver(self, event: RequestEvent) -> None:
        """Put an event into its request's mailbox; drop it if the request is gone."""
        mailbox = self._mailboxes.get(event.request_id)
        if mailbox is not None:
            mailbox.put(event)

    def notify_all(self, sentinel: Sentinel) -> None:
        """Put a sentinel into every mailbox."""
        for mailbox in self._mailboxes.values():
            mailbox.put(sentinel)

    async def wait_empty(self, timeout_s: float | None) -> None:
        """Wait until no request is in flight, at most `timeout_s`; None waits forever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()

    def log_fields(self, request_ids: Iterable[str] | None = None) -> dict[str, Any]:
        """Return `request_id` or `request_ids` for a log record.

        Args:
            request_ids: the requests that the record is about; None is all in flight.
        """
        ids = self._mailboxes if request_ids is None else request_ids
        logged = dict.fromkeys(self._logged_ids[each] for each in ids if each in self._logged_ids)
        match list(logged)[:_MAX_LOGGED_IDS]:
            case []:
                return {}
            case [only]:
                return {"request_id": only}
            case several:
                return {"request_ids": several}
