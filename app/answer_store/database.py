"""Owns the SQLite file: opening it, checking it, and moving a damaged one aside.

One connection of one thread has the file for itself. In WAL mode with `synchronous=NORMAL` a power
cut never damages the file and loses what was written in the last seconds before it; waiting for
flash memory on each answer would cost time and wear to save an answer that its client still has.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from app.logs import get_logger

_MODE = 0o600
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_SCHEMA_VERSION = 1
_CHECKPOINT_PAGES = 256
_WAL_BYTES = 1024 * 1024
_MAX_DAMAGED_FILES = 2

_SCHEMA = """
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    previous TEXT,
    model TEXT NOT NULL,
    created_s REAL NOT NULL,
    used_s REAL NOT NULL,
    n_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    is_running INTEGER NOT NULL
);
CREATE INDEX answers_by_use ON answers (used_s);
CREATE TABLE texts (
    number INTEGER PRIMARY KEY REFERENCES answers (number) ON DELETE CASCADE,
    answer BLOB NOT NULL,
    request BLOB NOT NULL,
    events BLOB NOT NULL
);
CREATE TABLE items (
    id TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES answers (number) ON DELETE CASCADE,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
CREATE INDEX items_by_answer ON items (number);
"""

log = get_logger("store")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is damaged, or no database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_database(path: Path) -> sqlite3.Connection:
    """Return a connection to the file, which is made if there is none.

    A damaged file moves aside and a new one begins.

    Raises:
        sqlite3.Error: it cannot be used: another service has it, or the disk is full or read-only.
        OSError: it cannot be made.
    """
    try:
        return _opened(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        move_aside(path, str(error))
    return _opened(path)


def move_aside(path: Path, reason: str) -> None:
    """Rename a damaged file and forget the oldest of those renamed before."""
    now_ns = time.time_ns()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_ns // 10**9))
    aside = path.with_name(f"{path.name}.damaged-{stamp}-{now_ns % 10**9:09d}")
    path.replace(aside)
    for suffix in _SUFFIXES[1:]:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    log.error("answer_store_damaged", file=str(path), moved_to=aside.name, reason=reason)
    older = sorted(path.parent.glob(f"{path.name}.damaged-*"))[:-_MAX_DAMAGED_FILES]
    for each in older:
        each.unlink(missing_ok=True)


def remove(path: Path) -> bool:
    """Remove the file and what was moved aside; return whether there was a file."""
    existed = path.exists()
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for aside in path.parent.glob(f"{path.name}.damaged-*"):
        aside.unlink(missing_ok=True)
    return existed


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite gives its other files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    run = connection.execute
    run("PRAGMA locking_mode = EXCLUSIVE")
    run("PRAGMA journal_mode = WAL")
    run("PRAGMA synchronous = NORMAL")
    run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    run(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    run("PRAGMA secure_delete = FAST")
    run("PRAGMA temp_store = MEMORY")  # the service has no folder for temporary files
    run("PRAGMA cell_size_check = ON")
    run("PRAGMA foreign_keys = ON")
    run("BEGIN IMMEDIATE")
    _check(connection)
    (version,) = run("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            run(statement)
        run(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    elif version != _SCHEMA_VERSION:
        raise _no_database(f"its layout is {version}, not {_SCHEMA_VERSION}")
    run("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    for check in ("quick_check", "foreign_key_check"):
        for row in connection.execute(f"PRAGMA {check}"):
            if row != ("ok",):
                raise _no_database(str(row[0]))


def _no_database(reason: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
