"""Owns eviction: which files go for others; must not know what is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.promptcache.entries import Entry
from app.promptcache.folders import EntryFile, files_in, folders_in
from app.promptcache.model_folder import ModelFolder
from app.promptcache.page_index import PageIndex

_NOTHING: frozenset[str] = frozenset()
_USELESS, _ORDINARY, _HEAD = range(3)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be evicted.

    Args:
        file: it.
        entry: what it holds; None where it is of another model.
        order: the lowest go first.
    """

    file: EntryFile
    entry: Entry | None
    order: tuple[int, float]


class Room:
    """The space that the entries of all models share.

    Args:
        root: folder of all models.
        model_folder: of this model.
        capacity_bytes: what all entries may take.
    """

    def __init__(self, root: Path, model_folder: ModelFolder, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.n_evicted = 0
        self._others: dict[str, tuple[int, list[EntryFile]]] = {}
        self._root = root
        self._model_folder = model_folder

    def make(
        self,
        n_bytes: int,
        outdated: Collection[str] = _NOTHING,
        kept: Collection[str] = _NOTHING,
    ) -> bool:
        """Evict until so much fits.

        First goes what is of no use: what is outdated, and what is out of reach because its
        beginning is missing. Then what was not used longest; ends go before what they go on from,
        and heads last, as far as they take no more than half of the space.

        Args:
            outdated: ids of entries that nobody will miss.
            kept: ids of entries that stay.

        Returns:
            Whether it fits. Where it cannot, nothing is evicted.

        Raises:
            OSError: a file cannot be removed.
        """
        on_disk = [*self._own_files(), *self._other_files()]
        excess_bytes = sum(each.n_bytes for each in on_disk) + n_bytes - self.capacity_bytes
        if excess_bytes <= 0:
            return True
        with self._model_folder.lock:
            candidates = self._candidates(on_disk, outdated, kept)
            victims, is_enough = choose_victims(
                candidates, excess_bytes, self._model_folder.table.blocks
            )
        if n_bytes and not is_enough:
            return False
        for victim in victims:
            if victim.entry is not None:
                self._model_folder.remove([victim.entry.entry_id])
            else:
                path = self._root / victim.file.folder / victim.file.name
                self._model_folder.files.remove(path)
        self.n_evicted += len(victims)
        return True

    def _own_files(self) -> Iterator[EntryFile]:
        """Yield the files of this model; what is in the table needs no look."""
        folder = self._model_folder.folder
        with self._model_folder.lock:
            known = {entry.file_name: entry for entry in self._model_folder.table}
        for name, entry in known.items():
            yield EntryFile(folder.name, name, entry.n_bytes, entry.last_used_s)
        yield from files_in(folder, known)

    def _other_files(self) -> Iterator[EntryFile]:
        """Yield the files of other models; a folder that has not changed needs no look."""
        seen = {}
        for folder, changed_ns in folders_in(self._root):
            if folder.name != self._model_folder.folder.name:
                before_ns, files = self._others.get(folder.name, (0, []))
                if changed_ns != before_ns:
                    files = list(files_in(folder))
                seen[folder.name] = changed_ns, files
                yield from files
        self._others = seen

    def _candidates(
        self, on_disk: Iterable[EntryFile], outdated: Collection[str], kept: Collection[str]
    ) -> list[Candidate]:
        table = self._model_folder.table
        own = {entry.file_name: entry for entry in table}
        useless = {*outdated, *table.unreachable()}
        heads = self._protected_heads()
        candidates = []
        for file in on_disk:
            is_own = file.folder == self._model_folder.folder.name
            entry = own.get(file.name) if is_own else None
            if file.is_pinned or (entry is not None and entry.entry_id in kept):
                continue
            rank = _ORDINARY
            if entry is not None and entry.entry_id in useless:
                rank = _USELESS
            elif entry is not None and entry.entry_id in heads:
                rank = _HEAD
            used_s = file.last_used_s if entry is None else entry.last_used_s
            candidates.append(Candidate(file, entry, (rank, used_s)))
        return candidates

    def _protected_heads(self) -> set[str]:
        """Return the most recently used heads, as far as they take half of the space."""
        heads: set[str] = set()
        n_left = self.capacity_bytes // 2
        for entry in self._model_folder.table.newest_first():
            if entry.role == "boundary":
                n_left -= entry.n_bytes
                if n_left < 0:
                    break
                heads.add(entry.entry_id)
        return heads


def choose_victims(
    candidates: Iterable[Candidate], excess_bytes: int, blocks: PageIndex
) -> tuple[list[Candidate], bool]:
    """Choose the files to evict.

    Args:
        candidates: those that may be.
        excess_bytes: what is to be freed.
        blocks: tells which block goes on from which; a block that others need waits for them.

    Returns:
        The files, and whether they are enough.
    """
    victims: list[Candidate] = []
    gone: set[str] = set()
    waiting: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda candidate: candidate.order):
        ready = [each]
        while ready and excess_bytes > 0:
            victim = ready.pop()
            block_id = victim.entry.entry_id if victim.entry is not None else ""
            if block_id in blocks and blocks.is_needed(block_id, gone):
                waiting[block_id] = victim
                continue
            victims.append(victim)
            excess_bytes -= victim.file.n_bytes
            if block_id in blocks:
                gone.add(block_id)
                before = blocks.parents(block_id)
                ready += [waiting.pop(parent) for parent in before if parent in waiting]
    return victims, excess_bytes <= 0
