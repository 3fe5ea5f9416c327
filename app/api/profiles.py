"""Owns reading the profiles of the settings: loads their files, validates their messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from app.api.schemas.conversation import RestoreCacheRequest
from app.base.json_types import without_lone_escapes
from app.config.models import aliases_of
from app.config.profiles import ProfileSetting
from app.config.settings import Settings
from app.errors import InvalidRequest, SettingsInvalid
from app.host.profiles import Profile
from app.models.names import Naming
from app.web.validation import explain


def read_profiles(settings: Settings) -> list[Profile]:
    """Return the profiles with their files read, validated like a request.

    Raises:
        SettingsInvalid: a file is unreadable or a message or tool is invalid; one line for each.
    """
    naming = Naming(aliases_of(settings.models))
    profiles = []
    problems = []
    for index, written in enumerate(settings.profiles):
        try:
            profiles.append(_profile(written, naming))
        except InvalidRequest as error:
            where = f"profiles[{index}].{error.param}"
            problems.append(f"{where} {error.message} ({settings.source('profiles')})")
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return profiles


def _profile(written: ProfileSetting, naming: Naming) -> Profile:
    body = {"messages": written.messages, "tools": written.tools}
    files = {"messages": written.messages_file, "tools": written.tools_file}
    for field, path in files.items():
        if path is not None:
            body[field] = _read(path, f"{field}_file")
    try:
        checked = RestoreCacheRequest.model_validate(body)
    except ValidationError as error:
        raise _as_written(explain(error, RestoreCacheRequest), files) from None
    return Profile(
        name=written.name,
        model=naming.configured(written.model),
        messages=msgspec.to_builtins(checked.plain_messages()),
        tools=msgspec.to_builtins(checked.plain_tools()),
    )


def _read(path: Path, param: str) -> Any:
    try:
        return msgspec.json.decode(without_lone_escapes(path.read_bytes()))
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        fault = f"is no valid JSON: {error}"
    raise InvalidRequest(f'= "{path}" {fault}', param=param)


def _as_written(error: InvalidRequest, files: dict[str, Path | None]) -> InvalidRequest:
    """Return the error with the name of the file, if the invalid value is from one."""
    where = error.param or ""
    field = where.partition("[")[0].partition(".")[0]
    reason = error.message.removeprefix(f"{where}: ")
    if path := files.get(field):
        return InvalidRequest(f'= "{path}": {where}: {reason}', param=f"{field}_file")
    return InvalidRequest(f"is wrong: {reason}", param=where)
