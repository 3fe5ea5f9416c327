"""Owns the endpoints that copy and delete models, and how refusals become errors."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from sanic import HTTPResponse, Request
from sanic.response import text

from app.api.dialects.ollama_catalogue.described import LATEST
from app.api.dialects.ollama_catalogue.listing import found, not_found
from app.api.dialects.ollama_catalogue.schemas import CopyRequest, DeleteRequest
from app.api.schemas.ollama import parse_body
from app.api.service import Service, service_of
from app.errors import (
    InvalidRequest,
    ModelFileRefused,
    ModelInUse,
    ModelsFolderFailed,
    ModelsFolderFull,
)
from app.models.catalog import Catalog, ModelFile, part_names
from app.models.names import meant
from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    SettingsFileError,
    read_settings,
    write_settings,
)
from app.models.store import (
    FolderUnwritable,
    ModelRefused,
    NoSpace,
    checked_name,
    link_model,
    remove_model,
)

CHANGING = threading.Lock()
"""Held while the models folder is changed."""


async def copy(request: Request) -> HTTPResponse:
    """Give a model a second name, with settings of its own; its data is not copied."""
    body = parse_body(request.body, CopyRequest)
    await asyncio.to_thread(_copy, service_of(request), body.source, body.destination)
    return text("")


def _copy(service: Service, source: str, destination: str) -> None:
    with CHANGING, refusals("destination"):
        file = found(service, source)
        target, is_there = target_of(service, destination)
        if target.name == file.name:
            return
        check_linkable(file.name)
        if is_there:
            check_unused(service, target.name)
        settings = read_settings(file.path)
        link_with_settings(file.path, target, settings, replace=is_there)


def link_with_settings(
    source: Path, target: Path, settings: ModelSettings, *, replace: bool, move: bool = False
) -> ModelSettings:
    """Give a model's file one more name, with settings; return those that the name had before.

    Raises:
        ModelRefused: as `link_model`; the settings are as before.
        OSError: the settings cannot be written.
    """
    before = settings_before(target) if replace else NO_SETTINGS
    write_settings(target, settings)
    try:
        link_model(source, target, replace=replace, move=move)
    except ModelRefused:
        with contextlib.suppress(OSError):
            write_settings(target, before)
        raise
    return before


def settings_before(model: Path) -> ModelSettings:
    """Return the settings that are replaced; those that cannot be read are none."""
    try:
        return read_settings(model)
    except SettingsFileError:
        return NO_SETTINGS


async def delete(request: Request) -> HTTPResponse:
    """Delete a model and its settings."""
    body = parse_body(request.body, DeleteRequest)
    await asyncio.to_thread(_delete, service_of(request), body.asked)
    return text("")


def _delete(service: Service, name: str) -> None:
    with CHANGING, refusals("model"):
        file = _file_of(service.catalog, name)
        if file is None:
            raise not_found(name)
        check_unused(service, file.name)
        remove_model(service.catalog.models_dir, file.name)


def target_of(service: Service, name: str) -> tuple[Path, bool]:
    """Return the file that gets a name, and whether there is one of that name already.

    Raises:
        ModelRefused: no model may have that name.
    """
    if file := _file_of(service.catalog, name):
        return file.path, True
    bare = name[: -len(LATEST)] if name.lower().endswith(LATEST) else name
    return service.catalog.models_dir / checked_name(bare), False


def _file_of(catalog: Catalog, name: str) -> ModelFile | None:
    """Return the one file of a name; aliases are no names of files that may be changed."""
    files = {file.name: file for file in catalog.files()}
    named = meant(name, list(files), {})
    return files[named[0]] if len(named) == 1 else None


def check_linkable(file_name: str) -> None:
    """Refuse to give a split model another name: its parts find each other by name.

    Raises:
        ModelRefused: it is split.
    """
    if part_names(file_name):
        raise ModelRefused(f"{file_name} is part of a split model, which has one name only")


def check_unused(service: Service, file_name: str) -> None:
    """Refuse to change the file of a model that is loaded or being loaded.

    Raises:
        ModelInUse: it is.
    """
    supervisor = service.supervisor
    status = supervisor.status
    loaded = [serving.name for serving in supervisor.loaded]
    if file_name in (*loaded, status.pending, status.attempted):
        raise ModelInUse(
            f"{file_name} is loaded and cannot be changed or deleted; load another model first",
            param="model",
        )


@contextlib.contextmanager
def refusals(param: str) -> Iterator[None]:
    """Raise the errors of clients for what the models folder refuses.

    Args:
        param: the field that names the new model.
    """
    try:
        yield
    except NoSpace as error:
        raise ModelsFolderFull(str(error)) from error
    except FolderUnwritable as error:
        raise ModelsFolderFailed(str(error)) from error
    except ModelRefused as error:
        raise ModelFileRefused(str(error), param=param) from error
    except SettingsFileError as error:
        raise InvalidRequest(str(error), param=error.name) from error
    except OSError as error:
        raise ModelsFolderFailed(
            f"the models folder cannot be written: {error.strerror}"
        ) from error
