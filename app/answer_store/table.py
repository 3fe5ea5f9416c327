"""Owns reading and writing answers in an open database; its caller has the thread for it.

Answers belong to the owner that put them there: those of others do not exist for it. The least
recently used make room, and going on from an answer uses all those before it, so that a
conversation goes as a whole.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from app.answer_store.clock import UseClock
from app.answer_store.records import Packed, StoredAnswer, pack, unpack
from app.logs import get_logger

_DAY_S = 86400.0
_AT_ONCE = 64
# Texts are compressed: what takes little room in the file may take all of the memory.
MAX_READ_BYTES = 64 * 1024 * 1024
_COLUMNS = "a.id, a.previous, a.model, a.is_running, a.checksum, t.answer, t.request"
_JOINED = "answers a LEFT JOIN texts t ON t.number = a.number"

log = get_logger("store")


class AnswerTable:
    """The answers in a database.

    Args:
        connection: is used by one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        newest_s = self._all("SELECT coalesce(max(used_s), 0) FROM answers")[0][0]
        self._clock = UseClock(newest_s)

    def close(self) -> None:
        """Close the database."""
        with suppress(sqlite3.Error):
            self._follow_clock()
        self._connection.close()

    def _follow_clock(self) -> None:
        """Move the times of use along with a clock that was set forward: it makes nothing old."""
        if jump_s := self._clock.jump_s():
            self._connection.execute("UPDATE answers SET used_s = used_s + ?", (jump_s,))
            self._clock.follow(jump_s)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------ writing

    def put(self, owner: str, stored: StoredAnswer, max_bytes: int, max_days: float) -> bool:
        """Keep an answer, in the place of one with its id, and make room for it.

        Returns False for one that is larger than all the room.
        """
        packed = pack(stored)
        checksum = packed.checksum(owner, stored.id, stored.previous, stored.model)
        if packed.n_bytes > max_bytes:
            return False
        with self._transaction():
            self._delete("id = ? AND owner = ?", stored.id, owner)
            self._make_room(max_bytes - packed.n_bytes, max_days)
            now_s = self._clock.now_s()
            number = self._connection.execute(
                "INSERT INTO answers (id, owner, previous, model, created_s, used_s, n_bytes,"
                " checksum, is_running) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(stored.id, owner, stored.previous, stored.model, time.time(), now_s),
                    *(packed.n_bytes, checksum, stored.is_running),
                ),
            ).lastrowid
            self._connection.execute(
                "INSERT INTO texts (number, answer, request, events) VALUES (?, ?, ?, ?)",
                (number, packed.answer, packed.request, packed.events),
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO items (id, number) VALUES (?, ?)",
                [(item_id, number) for item_id in stored.item_ids],
            )
        return True

    def delete(self, owner: str, answer_id: str) -> bool:
        """Delete an answer; return whether there was one."""
        with self._transaction():
            return self._delete("id = ? AND owner = ?", answer_id, owner) > 0

    def make_room(self, max_bytes: int, max_days: float) -> None:
        """Delete what is older or more than allowed."""
        with self._transaction():
            self._make_room(max_bytes, max_days)

    def _make_room(self, max_bytes: int, max_days: float) -> None:
        self._follow_clock()
        if max_days:
            self._delete("used_s < ?", self._clock.now_s() - max_days * _DAY_S)
        while (surplus := self.n_bytes - max_bytes) > 0:
            oldest = self._all(
                "SELECT number, n_bytes FROM answers ORDER BY used_s, number LIMIT ?", _AT_ONCE
            )
            for number, n_bytes in oldest:
                if surplus > 0:
                    self._delete("number = ?", number)
                    surplus -= n_bytes
            if not oldest:
                return

    def _delete(self, condition: str, *values: Any) -> int:
        statement = f"DELETE FROM answers WHERE {condition}"  # noqa: S608  # no text of clients
        return self._connection.execute(statement, values).rowcount

    # ------------------------------------------------------------ reading

    @property
    def n_bytes(self) -> int:
        """The room that all answers take, about."""
        return int(self._all("SELECT coalesce(sum(n_bytes), 0) FROM answers")[0][0])

    def get(self, owner: str, answer_id: str) -> StoredAnswer | None:
        """Return an answer without its events, or None."""
        statement = f"SELECT {_COLUMNS} FROM {_JOINED} WHERE a.id = ? AND a.owner = ?"  # noqa: S608
        rows = self._all(statement, answer_id, owner)
        return self._read(owner, rows[0]) if rows else None

    def events(self, owner: str, answer_id: str) -> bytes:
        """Return the events of an answer; empty if there are none, or not any more."""
        rows = self._all(
            "SELECT t.events FROM answers a JOIN texts t ON t.number = a.number"
            " WHERE a.id = ? AND a.owner = ?",
            answer_id,
            owner,
        )
        try:
            return unpack(bytes(rows[0][0])) if rows else b""
        except (TypeError, zlib.error):
            log.error("stored_answer_damaged", id=answer_id)
            return b""

    def chain(self, owner: str, answer_id: str) -> tuple[list[StoredAnswer], str | None]:
        """Return an answer and those before it without events, the oldest first, all used now.

        The second value is the id of the one that is gone, if any, or with which they are too much
        to read.
        """
        found: list[StoredAnswer] = []
        n_bytes = 0
        wanted: str | None = answer_id
        seen: set[str] = set()
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            stored = self.get(owner, wanted)
            n_bytes += stored.n_bytes if stored else 0
            if stored is None or n_bytes > MAX_READ_BYTES:
                return [], wanted
            found.append(stored)
            wanted = stored.previous
        self._use([each.id for each in found])
        return found[::-1], None

    def with_items(self, owner: str, item_ids: Sequence[str]) -> list[StoredAnswer]:
        """Return the latest answers that have some parts.

        Parts not found are left out, and those of answers that are too much to read together.
        """
        numbers: set[int] = set()
        for item_id in set(item_ids):
            numbers.update(
                number
                for (number,) in self._all(
                    "SELECT a.number FROM items i JOIN answers a ON a.number = i.number"
                    " WHERE i.id = ? AND a.owner = ? ORDER BY a.number DESC LIMIT 1",
                    item_id,
                    owner,
                )
            )
        statement = f"SELECT {_COLUMNS} FROM {_JOINED} WHERE a.number = ?"  # noqa: S608
        found: list[StoredAnswer] = []
        n_bytes = 0
        for number in sorted(numbers):
            stored = self._read(owner, self._all(statement, number)[0])
            n_bytes += stored.n_bytes if stored else 0
            if stored is not None and n_bytes <= MAX_READ_BYTES:
                found.append(stored)
        return found

    def _use(self, ids: Sequence[str]) -> None:
        with self._transaction():
            self._follow_clock()
            now_s = self._clock.now_s()
            self._connection.executemany(
                "UPDATE answers SET used_s = ? WHERE id = ?", [(now_s, each) for each in ids]
            )

    def _read(self, owner: str, row: tuple[Any, ...]) -> StoredAnswer | None:
        """Return the answer of a row without its events; a damaged one is deleted."""
        answer_id, previous, model, is_running, checksum, *texts = row
        try:
            answer, request = map(bytes, texts)
            packed = Packed(answer, request, b"")
            if checksum == packed.checksum(owner, answer_id, previous, model):
                return StoredAnswer(
                    id=answer_id,
                    previous=previous,
                    model=model,
                    answer=unpack(answer),
                    request=unpack(request),
                    is_running=bool(is_running),
                )
        except (TypeError, AttributeError, ValueError, zlib.error):
            pass
        log.error("stored_answer_damaged", id=answer_id)
        self.delete(owner, answer_id)
        return None

    def _all(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()
