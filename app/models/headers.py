"""Owns what is known of GGUF files from their headers, read once for each state of a file."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.models.card import ModelCard, model_card
from app.models.facts import ModelFacts, model_facts
from app.models.gguf import GgufError, read_header
from app.models.kinds import FileKind, file_kind

_MAX_SEARCHED_BYTES = 32 * 1024**2  # vocabularies have a few; a header may claim anything


@dataclass(frozen=True, slots=True)
class Reading:
    """What a valid header says.

    Attributes:
        kind: what the file is.
        facts: the model's shape, or why there is none.
        card: what clients are told of it.
    """

    kind: FileKind
    facts: ModelFacts | GgufError
    card: ModelCard


class HeaderCache:
    """Reads headers; a file is read again once its size or modification time has changed.

    A header has a few megabytes at most; one with a large vocabulary takes tenths of a second on
    a small device. What is kept of it is a few hundred bytes. Thread-safe: at worst two threads
    read the same header.
    """

    def __init__(self) -> None:
        self._readings: dict[Path, tuple[tuple[int, int, int], Reading | str]] = {}

    def read(self, path: Path) -> Reading:
        """Return what a file's header says.

        Raises:
            GgufError: not a valid GGUF file.
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._readings.get(path)
            if known is None or known[0] != state:
                known = self._readings[path] = (state, _read(file, stat.st_size))
        if isinstance(known[1], str):
            raise GgufError(known[1])
        return known[1]

    def keep_only(self, paths: Collection[Path]) -> None:
        """Forget files that are gone."""
        for path in [path for path in list(self._readings) if path not in paths]:
            self._readings.pop(path, None)


def _read(file: BinaryIO, size_bytes: int) -> Reading | str:
    """Return what a header says; a text if it is not valid."""
    try:
        header = read_header(file, size_bytes)
    except GgufError as error:
        return str(error)
    kind = file_kind(header)
    file.seek(0)
    card = model_card(header, file.read(min(header.data_start or 0, _MAX_SEARCHED_BYTES)))
    try:
        return Reading(kind, model_facts(header), card)
    except GgufError as error:
        return Reading(kind, GgufError(str(error)), card)
