"""Owns adding models to the models folder and removing them, atomically.

It must not know the command line, nor which model a running server has loaded.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ModelNotFound
from app.models.catalog import Catalog, is_model_name, part_names
from app.models.facts import model_facts
from app.models.gguf import GgufError, read_header
from app.models.kinds import file_kind
from app.models.names import composed_name
from app.models.settings_file import settings_path

_MODE = 0o644
_COPY_BYTES = 8 * 1024**2
_RESERVED_SHARE = 0.05
_MAX_NAME_BYTES = 240
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)


class ModelRefused(Exception):
    """A model cannot be added or removed; the message states the reason."""


class NoSpace(ModelRefused):
    """There is no space for a model."""


class FolderUnwritable(ModelRefused):
    """The models folder, or the file system it is on, does not take the change."""


def add_model(
    models_dir: Path, source: Path, name: str | None = None, *, force: bool = False
) -> list[Path]:
    """Copy a model into the folder and return its new files; for a split model, all parts.

    A file gets its final name only after it was written and synced. It gets the folder's owner and
    mode 0644.

    Args:
        name: file name in the folder; the suffix `.gguf` is optional. None keeps the source's.
        force: replace a model with that name.

    Raises:
        ModelRefused: the file is not a model that can serve, or there is no space for it.
    """
    target_name = checked_name(source.name if name is None else name)
    if not models_dir.is_dir():
        raise ModelRefused(f"the models folder {models_dir} does not exist")
    parts = part_names(source.name)
    if parts and name is not None:
        raise ModelRefused(f"{source.name} is part of a split model, whose files cannot be renamed")
    sources = [source.with_name(part) for part in parts] or [source]
    pairs = [(path, models_dir / (path.name if parts else target_name)) for path in sources]
    for path, target in pairs:
        check_model(path, is_whole=not parts or path == sources[0])
        _check_target(path, target, force=force)
    check_free_space(models_dir, sum(path.stat().st_size for path in sources))
    for path, target in pairs:
        _copy(path, target, force=force)
    return [target for _, target in pairs]


def link_model(source: Path, target: Path, *, replace: bool = False, move: bool = False) -> None:
    """Give a model's file one more name in the models folder; its data is not copied.

    Args:
        source: a file on the folder's file system.
        target: a path in the folder whose name `checked_name` returned.
        replace: whether another file of that name is replaced.
        move: whether the former name goes, which file systems without hard links can do too.

    Raises:
        ModelRefused: the source is not a model that can serve, or there is another file of that
            name.
        FolderUnwritable: the link cannot be made.
    """
    check_model(source, is_whole=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        if target.exists() and target.samefile(source):
            return
        if not replace:
            _check_for_equivalent(target)
            if target.exists():
                raise ModelRefused(f"{target.name} already exists")
        if not move:
            os.link(source, temporary)
        (source if move else temporary).replace(target)
        sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        why = error.strerror
        if error.errno in _NO_LINK:
            why = f"the file system refuses a second name (a hard link) of {source.name}: {why}"
        raise FolderUnwritable(f"{target} cannot be written: {why}") from error


def remove_model(models_dir: Path, name: str) -> list[Path]:
    """Remove a model from the folder and return its former files; for a split model, all parts.

    The settings beside it go as well.

    Raises:
        ModelRefused: there is no such model, or its files cannot be deleted.
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
        settings_path(model.path).unlink(missing_ok=True)
        sync_folder(models_dir)
    except OSError as error:
        raise FolderUnwritable(f"{name} cannot be removed: {error.strerror}") from error
    return removed


# ---------------------------------------------------------------- checks


def checked_name(name: str) -> str:
    """Return the file name of a new model; the suffix `.gguf` is optional.

    Raises:
        ModelRefused: no model may have that name.
    """
    named = name if name.lower().endswith(".gguf") else name + ".gguf"
    if "/" in name or "\0" in name or name in (".", "..", ""):
        raise ModelRefused(f"'{name}' is not a valid file name")
    if not is_model_name(named) or not named.isprintable():
        raise ModelRefused(
            f"'{named}' is not a valid model name: it must not start with '.', '~', 'mmproj' or "
            "'ggml-vocab-', and must be printable"
        )
    if len(named.encode()) > _MAX_NAME_BYTES:
        raise ModelRefused(f"the name is longer than {_MAX_NAME_BYTES} bytes")
    return named


def check_model(source: Path, *, is_whole: bool) -> None:
    """Check that a file is a model that can serve.

    Args:
        is_whole: False for the later parts of a split model, which are only GGUF files.

    Raises:
        ModelRefused: it is not.
    """
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelRefused(f"{source} is not a regular file")
            header = read_header(file, status.st_size)
        kind = file_kind(header)
        if is_whole and kind.refusal and kind.is_certain:
            raise ModelRefused(f"{source} is {kind.refusal}")
        if is_whole:
            model_facts(header)
    except GgufError as error:
        raise ModelRefused(f"{source} is not a valid GGUF file: {error}") from error
    except OSError as error:
        raise ModelRefused(f"{source} cannot be read: {error.strerror}") from error


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        _check_for_equivalent(target)
        return
    if target.exists() and target.samefile(source):
        raise ModelRefused(f"{source} and {target} are the same file")
    if target.is_dir():
        raise ModelRefused(f"{target} is a folder")
    if not force:
        raise ModelRefused(f"{target.name} already exists; use --force to replace it")


def _check_for_equivalent(target: Path) -> None:
    """Refuse a name that differs from that of another file only in how Unicode writes it."""
    composed = composed_name(target.name)
    for path in target.parent.iterdir():
        if path.name != target.name and composed_name(path.name) == composed:
            raise ModelRefused(
                f"{path.name} already exists, its name in another Unicode form; remove it first"
            )


def check_free_space(folder: Path, size_bytes: int) -> None:
    """Check that a model of that size leaves 5 % of the file system free.

    Raises:
        NoSpace: it does not.
    """
    disk = shutil.disk_usage(folder)
    reserved_bytes = int(disk.total * _RESERVED_SHARE)
    if disk.free - size_bytes < reserved_bytes:
        raise NoSpace(
            f"not enough space in {folder}: the model needs {_mib(size_bytes)}, {_mib(disk.free)} "
            f"are free, and {_mib(reserved_bytes)} (5 %) must stay free"
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:,.1f} MiB"


# ---------------------------------------------------------------- copying


def _copy(source: Path, target: Path, *, force: bool) -> None:
    try:
        with source.open("rb") as reader, _partial_file(target) as (descriptor, path):
            _copy_data(descriptor, reader.fileno())
            _set_owner(descriptor, target.parent)
            os.fsync(descriptor)
            _check_target(source, target, force=force)
            path.replace(target)
            sync_folder(target.parent)
    except OSError as error:
        raise FolderUnwritable(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def _partial_file(target: Path) -> Iterator[tuple[int, Path]]:
    """Open the hidden file that becomes `target`; truncate one left by an interrupted copy."""
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


def _copy_data(descriptor: int, source: int) -> None:
    size_bytes = os.fstat(source).st_size
    os.posix_fallocate(descriptor, 0, size_bytes)
    copied = 0
    while copied < size_bytes:
        n_bytes = os.sendfile(descriptor, source, copied, min(_COPY_BYTES, size_bytes - copied))
        if n_bytes == 0:
            raise OSError(0, "the file shrank while it was being copied")
        copied += n_bytes


def _set_owner(descriptor: int, folder: Path) -> None:
    owner = folder.stat()
    os.fchmod(descriptor, _MODE)
    with contextlib.suppress(PermissionError):  # only root can give files away
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync_folder(folder: Path) -> None:
    """Write a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
