"""Owns what comes into the models folder and what leaves it: whole files or nothing.

It must not know the command line, nor which model a running server has loaded.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ModelNotFound
from app.models.catalog import Catalog, is_offered, part_names
from app.models.facts import model_facts
from app.models.gguf import GgufError, read_header

_MODE = 0o644
_COPY_BYTES = 8 * 1024**2
_KEPT_FREE = 0.05
_LONGEST_NAME_BYTES = 240


class ModelRefused(Exception):
    """A model cannot be added or removed; the message says why and what helps."""


def add_model(
    models_dir: Path, source: Path, name: str | None = None, *, force: bool = False
) -> list[Path]:
    """Copy a model into the folder and return its new files; of a split model, all parts.

    A file appears under its name only when all of it is on the disk. It gets the folder's owner
    and mode 0644.

    Args:
        name: file name in the folder; `.gguf` may be left out. None keeps the source's.
        force: replace a model of that name.

    Raises:
        ModelRefused: it is no usable model, or there is no place for it.
    """
    target_name = _checked_name(source.name if name is None else name)
    if not models_dir.is_dir():
        raise ModelRefused(f"the models folder {models_dir} does not exist")
    parts = part_names(source.name)
    if parts and name is not None:
        raise ModelRefused(f"{source.name} is a part of a split model, which keeps its names")
    sources = [source.with_name(part) for part in parts] or [source]
    pairs = [(path, models_dir / (path.name if parts else target_name)) for path in sources]
    for path, target in pairs:
        _check_model(path, is_whole=not parts or path == sources[0])
        _check_place(path, target, force=force)
    _check_room(models_dir, sum(path.stat().st_size for path in sources))
    for path, target in pairs:
        _copy(path, target, force=force)
    return [target for _, target in pairs]


def remove_model(models_dir: Path, name: str) -> list[Path]:
    """Remove a model from the folder and return its former files; of a split model, all parts.

    Raises:
        ModelRefused: there is none of that name, or it may not be removed.
    """
    try:
        model = Catalog(models_dir).find(name)
    except ModelNotFound as error:
        raise ModelRefused(error.message) from error
    files = [model.path.with_name(part) for part in part_names(model.name)] or [model.path]
    removed = [path for path in files if path.exists() or path.is_symlink()]
    try:
        for path in removed:
            path.unlink()
        _sync_folder(models_dir)
    except OSError as error:
        raise ModelRefused(f"{name} cannot be removed: {error.strerror}") from error
    return removed


# ---------------------------------------------------------------- checks


def _checked_name(name: str) -> str:
    named = name if name.lower().endswith(".gguf") else name + ".gguf"
    if "/" in name or "\0" in name or name in (".", "..", ""):
        raise ModelRefused(f"'{name}' is no name of a file in the models folder")
    if not is_offered(named) or not named.isprintable():
        raise ModelRefused(
            f"'{named}' would not be shown: names of models do not begin with . or ~ or 'mmproj' "
            "or 'ggml-vocab-', and are plain text"
        )
    if len(named.encode()) > _LONGEST_NAME_BYTES:
        raise ModelRefused(f"the name is longer than {_LONGEST_NAME_BYTES} bytes")
    return named


def _check_model(source: Path, *, is_whole: bool) -> None:
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelRefused(f"{source} is no file")
            header = read_header(file, status.st_size)
        if is_whole:
            model_facts(header)
    except GgufError as error:
        raise ModelRefused(f"{source} is no usable GGUF file: {error}") from error
    except OSError as error:
        raise ModelRefused(f"{source} cannot be read: {error.strerror}") from error


def _check_place(source: Path, target: Path, *, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.exists() and target.samefile(source):
        raise ModelRefused(f"{target} is that file itself")
    if target.is_dir():
        raise ModelRefused(f"{target} is a folder")
    if not force:
        raise ModelRefused(f"{target.name} exists already; --force replaces it")


def _check_room(folder: Path, size_bytes: int) -> None:
    disk = shutil.disk_usage(folder)
    kept_bytes = int(disk.total * _KEPT_FREE)
    if disk.free - size_bytes < kept_bytes:
        raise ModelRefused(
            f"not enough room in {folder}: the model has {_mib(size_bytes)}, {_mib(disk.free)} are "
            f"free, and {_mib(kept_bytes)} (5 %) have to stay free"
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:,.1f} MiB"


# ---------------------------------------------------------------- copying


def _copy(source: Path, target: Path, *, force: bool) -> None:
    try:
        with source.open("rb") as reader, _arriving(target) as (descriptor, path):
            _fill(descriptor, reader.fileno())
            _give_to_folder(descriptor, target.parent)
            os.fsync(descriptor)
            _check_place(source, target, force=force)
            path.replace(target)
            _sync_folder(target.parent)
    except OSError as error:
        raise ModelRefused(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def _arriving(target: Path) -> Iterator[tuple[int, Path]]:
    """Open the hidden file that becomes `target`; what is left of an earlier one is overwritten."""
    path = target.with_name(f".{target.name}.part")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelRefused(f"{target.name} is being added by another command") from None
        try:
            os.ftruncate(descriptor, 0)
            yield descriptor, path
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            raise
    finally:
        os.close(descriptor)


def _fill(descriptor: int, source: int) -> None:
    size_bytes = os.fstat(source).st_size
    os.posix_fallocate(descriptor, 0, size_bytes)
    copied = 0
    while copied < size_bytes:
        n_bytes = os.sendfile(descriptor, source, copied, min(_COPY_BYTES, size_bytes - copied))
        if n_bytes == 0:
            raise OSError(0, "the file became shorter while it was copied")
        copied += n_bytes


def _give_to_folder(descriptor: int, folder: Path) -> None:
    owner = folder.stat()
    os.fchmod(descriptor, _MODE)
    with contextlib.suppress(PermissionError):  # only root can give files away
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
