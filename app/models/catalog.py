"""Owns the list of models in the models folder; must know nothing of loading them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from app import logs
from app.errors import ModelNotFound
from app.models.card import ModelCard
from app.models.facts import ModelFacts, model_facts
from app.models.gguf import GgufError, GgufHeader, read_header
from app.models.headers import HeaderCache, Reading
from app.models.kinds import FileKind
from app.models.names import SUFFIX, Naming, meant

_HIDDEN_PREFIXES = (".", "~")
_VOCABULARY_PREFIX = "ggml-vocab-"
_PROJECTOR_PREFIX = "mmproj"
_NO_MODEL_PREFIXES = (*_HIDDEN_PREFIXES, _VOCABULARY_PREFIX, _PROJECTOR_PREFIX)
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
    Excluded are subfolders, hidden files, names that are not UTF-8, and every part but the first
    of a split model (`-00001-of-00003.gguf`). Offered is only what can serve, according to its
    header: no adapters, projectors, vocabularies or damaged files.

    Args:
        models_dir: the folder; a missing one is empty.
        naming: how models may be called besides their file names.
    """

    def __init__(self, models_dir: Path, naming: Naming | None = None) -> None:
        self.models_dir = models_dir
        self.naming = naming or Naming()
        self._headers = HeaderCache()

    def names(self) -> list[str]:
        """Return the names of all models that can serve, sorted."""
        return [entry.name for entry in self.entries()]

    def entries(self) -> list[ModelFile]:
        """Return all models that can serve, sorted by name."""
        return [file for file in self.files() if self.refusal(file) is None]

    def files(self) -> list[ModelFile]:
        """Return all GGUF files, those that cannot serve too, sorted by name."""
        found = self._scan()
        self._headers.keep_only({self.models_dir / name for name in found})
        models = []
        for name, stat in found.items():
            part = _PART.search(name)
            if part and int(part[1]) != 1:
                continue
            size_bytes = _split_size(name, part[2], found) if part else stat.st_size
            models.append(ModelFile(name, self.models_dir / name, size_bytes, stat.st_mtime))
        return sorted(models, key=lambda model: model.name)

    def newest_first(self) -> list[ModelFile]:
        """Return all GGUF files, the newest first: the order in which a start tries them."""
        return sorted(self.files(), key=lambda file: (file.modified_s, file.name), reverse=True)

    def find(self, name: str) -> ModelFile:
        """Return the file with that name or alias, whether it can serve or not.

        `app.models.names` has the rules.

        Raises:
            ModelNotFound: no such file, or several to which the name applies equally well.
        """
        files = self.files()
        return self._only(name, files, self._meant(name, files))

    def asked(self, name: str | None) -> ModelFile | None:
        """Return the file that a request names; None is the default model.

        Raises:
            ModelNotFound: as by `find`, unless unknown names mean the default model.
        """
        if not name:
            return None
        files = self.files()
        found = self._meant(name, files)
        if not found and self.naming.unknown_model == "default":
            return None
        return self._only(name, files, found)

    def aliases(self) -> dict[str, list[str]]:
        """Return the aliases of every file that has some."""
        names = [file.name for file in self.files()] if self.naming.aliases else []
        found = {name: self.naming.aliases_of(name, names) for name in names}
        return {name: aliases for name, aliases in found.items() if aliases}

    def alias_faults(self) -> list[str]:
        """Return a sentence for each configured alias that has no effect."""
        return self.naming.faults([file.name for file in self.files()])

    def default(self, configured: str | None) -> ModelFile | None:
        """Return the model to load at the start: the configured one, else the newest, else None.

        The newest is that of those that can serve, if any.

        Raises:
            ModelNotFound: a model is configured and does not exist.
        """
        if configured is not None:
            return self.find(configured)
        files = self.newest_first()
        able = (file for file in files if self.refusal(file) is None)
        return next(able, files[0] if files else None)

    def refusal(self, file: ModelFile) -> str | None:
        """Return why a file cannot serve, to follow its name; None if it can."""
        try:
            kind = self.kind(file)
        except GgufError as error:
            return f"is not a valid GGUF file: {error}"
        return f"is {kind.refusal}" if kind.refusal else None

    def kind(self, file: ModelFile) -> FileKind:
        """Return what a file is, according to its header and its name.

        Raises:
            GgufError: it, or a part of it, is missing or no valid GGUF file.
        """
        if file.name.lower().startswith(_PROJECTOR_PREFIX):
            return FileKind("named as a projector (mmproj), which is no model itself")
        if file.name.lower().startswith(_VOCABULARY_PREFIX):
            return FileKind("named as a vocabulary without weights")
        if not file.size_bytes:
            raise GgufError("it is empty")
        reading = self._read(file.path, "the file")
        kind = reading.kind
        if kind.refusal and kind.is_certain:
            return kind
        if isinstance(reading.facts, GgufError):
            raise GgufError(str(reading.facts))
        n_named = len(part_names(file.name)) or 1
        if kind.n_parts > 1 and kind.n_parts != n_named:
            return FileKind(
                f"the first of {kind.n_parts} parts, so that its name must end in "
                f"-00001-of-{kind.n_parts:05}.gguf"
            )
        self.check_parts(file)
        return kind

    def facts(self, entry: ModelFile, *, whole: bool = True) -> ModelFacts:
        """Return the facts in a model's header; cached until the file changes.

        Args:
            whole: read past the vocabulary (tens of milliseconds for a large one). Without it
                `has_chat_template`, and `file_type` of some files, stay None.

        Raises:
            GgufError: the file cannot be read or is not a valid GGUF file.
        """
        if whole:
            facts = self._read(entry.path, "the file").facts
            if isinstance(facts, GgufError):
                raise GgufError(str(facts))
            return facts
        try:
            with entry.path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                return model_facts(read_header(file, size_bytes, facts_only=True))
        except OSError as error:
            raise GgufError(f"the file cannot be read: {error.strerror}") from error

    def card(self, entry: ModelFile) -> ModelCard:
        """Return what clients are told of a model; parameters are those of all parts.

        Raises:
            GgufError: the file cannot be read or is not a valid GGUF file.
        """
        card = self._read(entry.path, "the file").card
        others = part_names(entry.name)[1:]
        more = sum(self._read(entry.path.with_name(n), n).card.n_params for n in others)
        return replace(card, n_params=card.n_params + more)

    def header(self, entry: ModelFile) -> GgufHeader:
        """Return the whole header of a model, which is read anew.

        Raises:
            GgufError: the file cannot be read or is not a valid GGUF file.
        """
        try:
            with entry.path.open("rb") as file:
                return read_header(file, os.fstat(file.fileno()).st_size)
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
                self._read(entry.path.with_name(name), name)
            except GgufError as error:
                text = str(error)
                raise GgufError(text if text.startswith(name) else f"{name}: {text}") from error

    def _read(self, path: Path, named: str) -> Reading:
        try:
            return self._headers.read(path)
        except OSError as error:
            raise GgufError(f"{named} cannot be read: {error.strerror}") from error

    def _meant(self, name: str, files: list[ModelFile]) -> list[ModelFile]:
        names = meant(name, [file.name for file in files], self.naming.aliases)
        return [file for file in files if file.name in names]

    def _only(self, name: str, files: list[ModelFile], found: list[ModelFile]) -> ModelFile:
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise ModelNotFound(f"Model '{_printable(name)}' is ambiguous: {names}", param="model")
        raise ModelNotFound(
            f"Model '{_printable(name)}' not found; {self._listing(files)}", param="model"
        )

    def _listing(self, files: list[ModelFile]) -> str:
        able = self.names()
        if not files:
            return "the models folder holds no .gguf file"
        if not able:
            return "the models folder holds no model that can serve"
        listing = f"the models folder holds {_enumerated(able)}"
        known = self.aliases()
        aliases = [alias for name in able for alias in known.get(name, ())]
        return f"{listing}, with the aliases {_enumerated(aliases)}" if aliases else listing

    def _scan(self) -> dict[str, os.stat_result]:
        """Return every GGUF file of the folder, parts included."""
        found = {}
        try:
            root = self.models_dir.resolve()
            with os.scandir(root) as files:
                for file in files:
                    if _is_listed(file.name) and (stat := _stat_inside(file, root)):
                        found[file.name] = stat
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            _log.warning("models_dir_unreadable", path=str(self.models_dir), error=str(error))
        return found


def is_model_name(name: str) -> bool:
    """Return whether a file with this name may be a model."""
    return _is_listed(name) and not name.lower().startswith(_NO_MODEL_PREFIXES)


def _is_listed(name: str) -> bool:
    if not name.lower().endswith(SUFFIX) or name.lower().startswith(_HIDDEN_PREFIXES):
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
    stem, ending = name[: part.start()], name[-len(SUFFIX) :]
    return [f"{stem}-{n:05}-of-{part[2]}{ending}" for n in range(1, int(part[2]) + 1)]


def _stat_inside(file: os.DirEntry[str], root: Path) -> os.stat_result | None:
    """Return the stat of a regular file whose real path lies in `root`, else None."""
    try:
        if file.is_symlink() and not Path(file.path).resolve().is_relative_to(root):
            return None
        stat = file.stat()
        return stat if file.is_file() else None
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


def _enumerated(names: list[str]) -> str:
    left = len(names) - _MAX_LISTED_NAMES
    more = f" and {left} more" if left > 0 else ""
    return f"{', '.join(names[:_MAX_LISTED_NAMES])}{more}"


def _printable(name: str) -> str:
    return name if len(name) <= 200 else name[:200] + "…"
