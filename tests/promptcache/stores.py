"""What tests of the prompt cache have in common: a clock, a disk that breaks, stores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.promptcache import DiskStore, EntryContent, Role, Snapshot
from app.promptcache.files import Files

START_S = 1_700_000_000.0
CAPACITY_BYTES = 10_000_000


@dataclass
class Clock:
    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Notices:
    lines: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, level: str, text: str) -> None:
        self.lines.append((level, text))


class BreakableFiles(Files):
    """The real system calls until one is told to fail."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}

    def fail(self, error_number: int, *calls: str) -> None:
        self.failures = dict.fromkeys(calls, error_number)

    def _check(self, call: str) -> None:
        if error_number := self.failures.get(call):
            raise OSError(error_number, os.strerror(error_number))

    def make_folder(self, path: Path) -> None:
        self._check("make_folder")
        super().make_folder(path)

    def open_to_read(self, path: Path) -> int:
        self._check("open_to_read")
        return super().open_to_read(path)

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def write(self, descriptor: int, piece: memoryview) -> None:
        self._check("write")
        super().write(descriptor, piece)

    def rename(self, old: Path, new: Path) -> None:
        self._check("rename")
        super().rename(old, new)

    def touch(self, path: Path, used_s: float) -> None:
        self._check("touch")
        super().touch(path, used_s)

    def remove(self, path: Path) -> None:
        self._check("remove")
        super().remove(path)


@dataclass
class Bench:
    """A folder, and stores opened on it one after the other as restarts would."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    notices: Notices = field(default_factory=Notices)
    files: BreakableFiles = field(default_factory=BreakableFiles)

    def open(
        self,
        model: str = "model.gguf",
        *,
        fingerprint: str = "this one",
        capacity_bytes: int = CAPACITY_BYTES,
        daily_write_bytes: int = 0,
        can_cut: bool = True,
        min_tokens: int = 32,
        max_block_bytes: int = 16_000_000,
        row_bytes: tuple[int, int] | None = None,
    ) -> DiskStore:
        return DiskStore(
            self.root,
            model,
            fingerprint,
            capacity_bytes=capacity_bytes,
            daily_write_bytes=daily_write_bytes,
            can_cut=can_cut,
            min_tokens=min_tokens,
            max_block_bytes=max_block_bytes,
            row_bytes=row_bytes,
            notify=self.notices,
            clock=self.clock,
            files=self.files,
        )

    def names(self, model: str = "model.gguf") -> list[str]:
        return sorted(path.name for path in (self.root / model).iterdir())

    def only_file(self, model: str = "model.gguf") -> Path:
        (path,) = (self.root / model).iterdir()
        return path


def words(seed: int, count: int = 64) -> list[int]:
    """Tokens that differ from those of another seed from the first one on."""
    return [seed * 100_000 + index for index in range(count)]


def state_of(tokens: list[int], n_bytes: int = 1000) -> bytes:
    return (str(sum(tokens)).encode() * n_bytes)[:n_bytes]


def whole(tokens: list[int], state: bytes) -> Snapshot:
    """Return a snapshot that is a state and needs no rows."""
    n_tokens = len(tokens)
    return Snapshot(n_tokens, n_tokens, b"", n_tokens, b"", state)


TOKEN_ROW_BYTES = 40
WINDOW_ROW_BYTES = 24
N_WINDOW = 48


def rows_of(
    tokens: list[int], start: int, end: int | None = None, n_bytes: int = TOKEN_ROW_BYTES
) -> bytes:
    """Return the rows of some tokens: others after other tokens, so that no mix is unseen."""
    rows = []
    known = hashlib.sha256(bytes([n_bytes % 256]))
    for position, token in enumerate(tokens[:end]):
        known.update(token.to_bytes(4, "little"))
        if position >= start:
            rows.append((known.digest() * (n_bytes // known.digest_size + 1))[:n_bytes])
    return b"".join(rows)


def snapshot_of(
    tokens: list[int],
    start: int = 0,
    *,
    state: bytes | None = None,
    window_start: int | None = None,
    row_bytes: int = TOKEN_ROW_BYTES,
) -> Snapshot:
    """Return the snapshot of some tokens with the rows from `start` on."""
    first = len(tokens) if window_start is None else window_start
    return Snapshot(
        n_tokens=len(tokens),
        start=start,
        rows=rows_of(tokens, start, n_bytes=row_bytes),
        window_start=first,
        window_rows=rows_of(tokens, first, n_bytes=WINDOW_ROW_BYTES),
        state=state,
    )


def keep(
    store: DiskStore,
    tokens: list[int],
    start: int = 0,
    *,
    state: bytes | None = None,
    role: Role = "turn",
    profile: str = "",
    drops_older: bool = False,
    extra: bytes = b"",
    row_bytes: int = TOKEN_ROW_BYTES,
) -> bool:
    """Write the rows of some tokens, and their state."""
    return store.write_snapshot(
        tokens,
        snapshot_of(tokens, start, state=state, row_bytes=row_bytes),
        role=role,
        profile=profile,
        drops_older=drops_older,
        extra=extra,
    )


def restored(store: DiskStore, tokens: list[int], row_bytes: int = TOKEN_ROW_BYTES) -> int:
    """Read what blocks hold of a prompt and check each row; return how many tokens it was."""
    links = store.chain(tokens)
    contents = [store.read_block(link.block_id) for link in links]
    if any(content is None for content in contents):
        return restored(store, tokens, row_bytes)
    position = 0
    for link, content in zip(links, contents, strict=True):
        assert content is not None
        assert link.start == position
        assert content.start <= link.start < link.end <= content.end
        held = bytes(content.rows)[(link.start - content.start) * row_bytes :]
        wanted = rows_of(tokens, link.start, link.end, row_bytes)
        assert held[: len(wanted)] == wanted
        position = link.end
    return position


def put(
    store: DiskStore,
    tokens: list[int],
    *,
    n_bytes: int = 1000,
    role: Role = "turn",
    profile: str = "",
    replaces: bool = False,
) -> bool:
    state = state_of(tokens, n_bytes)
    return store.write(tokens, state, role=role, profile=profile, replaces=replaces)


def fetch(store: DiskStore, tokens: list[int]) -> EntryContent | None:
    found = store.find(tokens)
    return None if found is None else store.read(found)


def is_kept(store: DiskStore, tokens: list[int]) -> bool:
    return any(
        (snapshot := store.read(found)) is not None and snapshot.tokens == tokens
        for found in [store.find(tokens)]
        if found is not None and found.n_tokens == len(tokens)
    )


def after_calls(count: int, action: Callable[[], object]) -> Callable[[], None]:
    """Return a callback that acts once, at its `count`th call."""
    calls = iter(range(count - 1, -1, -1))

    def callback() -> None:
        if next(calls, None) == 0:
            action()

    return callback
