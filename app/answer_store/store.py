"""Owns the store as handlers use it: off the event loop, and never in the way of an answer.

Where the file cannot be used, nothing is kept and one log line says why.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.answer_store.database import is_damage, move_aside, open_database, remove
from app.answer_store.records import StoredAnswer
from app.answer_store.table import AnswerTable
from app.background_tasks import start_task
from app.logs import get_logger
from app.parameters.answers import StoreParams

FILE_NAME = "answers.sqlite"
OFF = StoreParams(responses_max_mb=0)
_MIB = 1024 * 1024
_TIDY_INTERVAL_S = 3600.0

Result = TypeVar("Result")

log = get_logger("store")


class AnswerStore:
    """The answers of all clients, in one file.

    Args:
        folder: where the file is.
        params: the limits, which may change; by default nothing is kept.
    """

    def __init__(self, folder: Path = Path(), params: StoreParams = OFF) -> None:
        self._path = folder / FILE_NAME
        self.params = params
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answer-store")
        self._table: AnswerTable | None = None
        self._problem = ""
        self._tidying: asyncio.Task[None] | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether answers are kept at all."""
        return self.params.responses_max_mb > 0

    async def start(self) -> None:
        """Check the file, if there is one, and delete what is too old; without room, the file."""
        await self._in_thread(self._start)
        self._tidying = start_task(self._tidy())

    async def _tidy(self) -> None:
        """Delete what gets too old; runs until cancelled."""
        while True:
            await asyncio.sleep(_TIDY_INTERVAL_S)
            await self._read(self._make_room, None)

    async def stop(self) -> None:
        """Close the file, after what is under way."""
        if self._tidying is not None:
            self._tidying.cancel()
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def put(self, owner: str, stored: StoredAnswer) -> bool:
        """Keep an answer; return whether it is kept."""
        limits = self.params
        if not limits.responses_max_mb:
            return False
        max_bytes, max_days = limits.responses_max_mb * _MIB, limits.responses_max_days

        def put(table: AnswerTable) -> bool:
            return table.put(owner, stored, max_bytes, max_days)

        return await self._in_thread(self._tried, put, False, True)

    async def get(self, owner: str, answer_id: str) -> StoredAnswer | None:
        """Return an answer without its events, or None."""
        return await self._read(lambda table: table.get(owner, answer_id), None)

    async def events(self, owner: str, answer_id: str) -> bytes:
        """Return the events of an answer; empty if there are none."""
        return await self._read(lambda table: table.events(owner, answer_id), b"")

    async def chain(self, owner: str, answer_id: str) -> tuple[list[StoredAnswer], str | None]:
        """Return an answer and those before it, the oldest first.

        The second value is the id of the one that is gone, if any.
        """
        return await self._read(lambda table: table.chain(owner, answer_id), ([], answer_id))

    async def with_items(self, owner: str, item_ids: Sequence[str]) -> list[StoredAnswer]:
        """Return the latest answers that have some parts, by the ids of these."""
        return await self._read(lambda table: table.with_items(owner, item_ids), [])

    async def delete(self, owner: str, answer_id: str) -> bool:
        """Delete an answer; return whether there was one."""
        return await self._read(lambda table: table.delete(owner, answer_id), False)

    async def _read(self, work: Callable[[AnswerTable], Result], otherwise: Result) -> Result:
        if not self.is_enabled:
            return otherwise
        return await self._in_thread(self._tried, work, otherwise, False)

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # ------------------------------------------------------------ in the thread

    def _start(self) -> None:
        limits = self.params
        if not limits.responses_max_mb:
            try:
                if remove(self._path):
                    log.info("answer_store_removed", file=str(self._path))
            except OSError as error:
                self._note(error)
            return

        self._tried(self._make_room, None, makes_file=False)

    def _make_room(self, table: AnswerTable) -> None:
        params = self.params
        table.make_room(params.responses_max_mb * _MIB, params.responses_max_days)

    def _close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def _tried(
        self, work: Callable[[AnswerTable], Result], otherwise: Result, makes_file: bool
    ) -> Result:
        """Do some work; return `otherwise` if the file cannot be used or there is none."""
        try:
            for _ in range(2):
                try:
                    if self._table is None:
                        if not makes_file and not self._path.exists():
                            return otherwise
                        self._table = AnswerTable(open_database(self._path))
                    result = work(self._table)
                except sqlite3.DatabaseError as error:
                    if not is_damage(error):
                        raise
                    self._close()
                    move_aside(self._path, str(error))
                else:
                    self._problem = ""
                    return result
        except (sqlite3.Error, OSError) as error:
            self._note(error)
        return otherwise

    def _note(self, error: Exception) -> None:
        """Log why the file cannot be used, once for each reason."""
        if str(error) != self._problem:
            self._problem = str(error)
            log.error("answer_store_unavailable", file=str(self._path), error=str(error))
