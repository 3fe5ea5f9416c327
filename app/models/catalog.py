"""Owns the list of models in the models folder; must know nothing of loading them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from app import logs
from app.errors import ModelNotFound
from app.models.facts import ModelFacts, model_facts
from app.models.gguf import GgufError, read_header

_SUFFIX = ".gguf"
_IGNORED_PREFIXES = (".", "~", "ggml-vocab-", "mmproj")
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_MAX_LISTED_NAMES = 20

_log = logs.get_logger(__name__)


@dataclass(frozen=True)
class ModelFile:
    """A model in the models folder.

    Attributes:
        name: file name, which identifies the model everywhere; for a split model, of its first
            part.
        size_bytes: total of all parts of a split model.
        modified_s: modification time of the (first) file, seconds since the epoch.
    """

    name: str
    path: Path
    size_bytes: int
    modified_s: float


class Catalog:
    """The GGUF files directly in one folder, scanned at each call; thread-safe.

    A requested name is only compared with names found in the folder, never used as a path, so that
    no request can leave the folder. A symbolic link counts if its target is in the folder too.
    Excluded are subfolders, hidden and empty files, vocabulary-only files
    (`ggml-vocab-*`), projectors of vision models (`mmproj*`), names that are not UTF-8, and every
    part but the first of a split model (`-00001-of-00003.gguf`).

    Args:
        models_dir: the folder; a missing one is empty.
    """

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir
        self._facts: dict[tuple[Path, int, int, bool], ModelFacts] = {}

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        return [entry.name for entry in self.entries()]

    def entries(self) -> list[ModelFile]:
        """Return all models, sorted by name."""
        found = self._scan()
        models = []
        for name, stat in found.items():
            part = _PART.search(name)
            if part and int(part[1]) != 1:
                continue
            size_bytes = _split_size(name, part[2], found) if part else stat.st_size
            models.append(ModelFile(name, self.models_dir / name, size_bytes, stat.st_mtime))
        return sorted(models, key=lambda model: model.name)

    def find(self, name: str) -> ModelFile:
        """Return the model with that name; the suffix `.gguf` is optional.

        Raises:
            ModelNotFound: no such model, or several that differ only in the suffix's case.
        """
        entries = self.entries()
        matches = [entry for entry in entries if entry.name == name]
        matches = matches or [entry for entry in entries if entry.name[: -len(_SUFFIX)] == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(entry.name for entry in matches)
            raise ModelNotFound(f"Model '{name}' is ambiguous: {names}", param="model")
        raise ModelNotFound(
            f"Model '{_printable(name)}' not found; {_listing(entries)}", param="model"
        )

    def default(self, configured: str | None) -> ModelFile | None:
        """Return the model to load at the start: the configured one, else the newest, else None.

        Raises:
            ModelNotFound: a model is configured and does not exist.
        """
        if configured is not None:
            return self.find(configured)
        return max(self.entries(), key=lambda entry: (entry.modified_s, entry.name), default=None)

    def facts(self, entry: ModelFile, *, whole: bool = True) -> ModelFacts:
        """Return the facts in a model's header; cached until the file changes.

        Args:
            whole: read past the vocabulary (tens of milliseconds for a large one). Without it
                `has_chat_template`, and `file_type` of some files, stay None.

        Raises:
            GgufError: the file cannot be read or is not a valid GGUF file.
        """
        try:
            with entry.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                key = (entry.path, stat.st_size, stat.st_mtime_ns, whole)
                if key not in self._facts:
                    header = read_header(file, stat.st_size, facts_only=not whole)
                    self._evict(entry.path, whole)
                    self._facts[key] = model_facts(header)
                return self._facts[key]
        except OSError as error:
            raise GgufError(f"the file cannot be read: {error.strerror}") from error

    def check_parts(self, entry: ModelFile) -> None:
        """Check the parts of a split model after the first.

        Raises:
            GgufError: a part is missing, links out of the folder or is not a valid GGUF file; the
                message names it.
        """
        names = part_names(entry.name)[1:]
        found = self._scan() if names else {}
        for name in names:
            if name not in found:
                raise GgufError(f"its part {name} is missing")
            try:
                with entry.path.with_name(name).open("rb") as file:
                    read_header(file, os.fstat(file.fileno()).st_size)
            except OSError as error:
                raise GgufError(f"{name} cannot be read: {error.strerror}") from error
            except GgufError as error:
                raise GgufError(f"{name}: {error}") from error

    def _evict(self, path: Path, whole: bool) -> None:
        for key in [key for key in self._facts if key[0] == path and key[3] == whole]:
            del self._facts[key]

    def _scan(self) -> dict[str, os.stat_result]:
        """Return every model file of the folder, parts included."""
        found = {}
        try:
            root = self.models_dir.resolve()
            with os.scandir(root) as files:
                for file in files:
                    if is_model_name(file.name) and (stat := _stat_inside(file, root)):
                        found[file.name] = stat
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            _log.warning("models_dir_unreadable", path=str(self.models_dir), error=str(error))
        return found


def is_model_name(name: str) -> bool:
    """Return whether a file with this name counts as a model."""
    if not name.lower().endswith(_SUFFIX) or name.lower().startswith(_IGNORED_PREFIXES):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def part_names(name: str) -> list[str]:
    """Return the names of all parts of a split model, given one; empty for other models."""
    part = _PART.search(name)
    if part is None:
        return []
    stem, ending = name[: part.start()], name[-len(_SUFFIX) :]
    return [f"{stem}-{n:05}-of-{part[2]}{ending}" for n in range(1, int(part[2]) + 1)]


def _stat_inside(file: os.DirEntry[str], root: Path) -> os.stat_result | None:
    """Return the stat of a regular, non-empty file whose real path lies in `root`, else None."""
    try:
        if file.is_symlink() and not Path(file.path).resolve().is_relative_to(root):
            return None
        stat = file.stat()
        return stat if file.is_file() and stat.st_size else None
    except (OSError, RuntimeError):  # deleted meanwhile, or a symlink loop
        return None


def _split_size(first: str, n_parts: str, found: dict[str, os.stat_result]) -> int:
    stem = first[: -len("-00001-of-00001.gguf")].lower()
    return sum(
        stat.st_size
        for name, stat in found.items()
        if (part := _PART.search(name))
        and part[2] == n_parts
        and name[: part.start()].lower() == stem
    )


def _printable(name: str) -> str:
    return name if len(name) <= 200 else name[:200] + "…"


def _listing(entries: list[ModelFile]) -> str:
    if not entries:
        return "the models folder contains no .gguf file"
    names = ", ".join(entry.name for entry in entries[:_MAX_LISTED_NAMES])
    more = (
        f" and {len(entries) - _MAX_LISTED_NAMES} more" if len(entries) > _MAX_LISTED_NAMES else ""
    )
    return f"the models folder contains {names}{more}"
