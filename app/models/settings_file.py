"""Owns the settings that stand beside a model file: its instructions, template and parameters.

`NAME.distiller.json` belongs to `NAME.gguf`. It must not know HTTP or how models are loaded.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from app.parameters.load import LoadParams
from app.parameters.row import Row, rows
from app.parameters.sampling import SamplingParams

SUFFIX = ".distiller.json"
MAX_TEXT_CHARS = 512 * 1024
MAX_TEMPLATE_CHARS = 2**20

_MAX_FILE_BYTES = 8 * 1024**2
_MAX_PARAMETERS = 64
_MAX_STOPS, _MAX_STOP_CHARS = 16, 1024
_MODE = 0o644
_SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "seed", "mirostat", "mirostat_tau", "mirostat_eta",
)  # fmt: skip

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
Plain = str | int | float | bool
Parameter = Plain | list[Plain]


class SettingsFileError(ValueError):
    """Settings of a model are invalid; the message states the reason.

    Args:
        name: the field or parameter, as in `parameters.top_k`.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


class ModelSettings(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"parent": "from"}
):
    """What a model answers with where a request says nothing else.

    Attributes:
        parent: name of the model that it was made from.
        system: instructions for conversations that begin without any.
        template: chat template in place of that of the file.
        parameters: by Ollama's names; those without effect here are kept and shown.
    """

    parent: Text = ""
    system: Text = ""
    template: Annotated[str, msgspec.Meta(max_length=MAX_TEMPLATE_CHARS)] = ""
    parameters: dict[str, Parameter] = {}
    license: list[Text] = []

    @property
    def load_params(self) -> dict[str, Any]:
        """The load parameters that it changes."""
        changed: dict[str, Any] = {}
        if self.template:
            changed["chat_template"] = self.template
        if self.system:
            changed["system_prompt"] = self.system
        if (n_ctx := self.parameters.get("num_ctx")) is not None:
            bounds = _row(LoadParams, "n_ctx").bounds
            changed["n_ctx"] = max(bounds["ge"], min(bounds["le"], int(str(n_ctx))))
        return changed

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that it changes."""
        return {name: self.parameters[name] for name in _SAMPLING if name in self.parameters}

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end an answer."""
        found = self.parameters.get("stop", [])
        return tuple(map(str, found)) if isinstance(found, list) else (str(found),)

    def max_tokens(self, default: int | None) -> int | None:
        """Return the longest answer in tokens; None is no limit."""
        if (limit := self.parameters.get("num_predict")) is None:
            return default
        return n if (n := int(str(limit))) > 0 else None


NO_SETTINGS = ModelSettings()


def checked_settings(settings: ModelSettings) -> ModelSettings:
    """Return settings with their parameters checked.

    Raises:
        SettingsFileError: one has the wrong type, is out of range or too long.
    """
    try:
        found = msgspec.convert(msgspec.to_builtins(settings), ModelSettings)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        raise SettingsFileError(where.rstrip("`") or "settings", reason) from None
    return msgspec.structs.replace(found, parameters=checked_parameters(found.parameters))


def checked_parameters(given: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return parameters by Ollama's names, with numbers for numbers written as text.

    Nulls are left out. A number above its bound is lowered to it where a request's would be.

    Raises:
        SettingsFileError: one has the wrong type or is out of range.
    """
    if len(given) > _MAX_PARAMETERS:
        raise SettingsFileError("parameters", f"more than {_MAX_PARAMETERS}")
    return {name: _checked(name, value) for name, value in given.items() if value is not None}


def _checked(name: str, value: Any) -> Parameter:
    try:
        if name == "stop":
            return _stops(value)
        if name in ("num_ctx", "num_predict"):
            return int(_number(value, int))
        if name in _SAMPLING:
            return _sampling_value(_row(SamplingParams, name), value)
        kept: Parameter = msgspec.convert(value, Parameter)
        for each in kept if isinstance(kept, list) else [kept]:
            _check_writable(each)
    except (msgspec.ValidationError, ValueError) as error:
        reason = str(error).partition(" - at `$")[0]
        raise SettingsFileError(f"parameters.{name}", reason) from None
    return kept


def _check_writable(value: Plain) -> None:
    """Refuse what JSON has no form for."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Expected a finite number")
    if isinstance(value, str) and not value.isascii():
        value.encode()  # lone surrogates


def _stops(value: Any) -> list[Plain]:
    stops = [value] if isinstance(value, str) else value
    kind = Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_STOP_CHARS)]
    found = msgspec.convert(stops, Annotated[list[kind], msgspec.Meta(max_length=_MAX_STOPS)])
    for stop in found:
        _check_writable(stop)
    return list(found)


def _number(value: Any, kind: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Expected a number, got `bool`")
    return msgspec.convert(value, kind, strict=False)


def _sampling_value(row: Row, value: Any) -> Plain:
    number: int | float = _number(value, row.kind)
    if row.details.clamps:
        number = min(number, row.bounds["le"])
    checked = _number(number, Annotated[row.kind, msgspec.Meta(**row.bounds)])
    return float(checked) if row.kind is float else int(checked)


@cache
def _row(struct: type[msgspec.Struct], name: str) -> Row:
    return next(row for row in rows(struct) if row.name == name)


# ---------------------------------------------------------------- files


def settings_path(model: Path) -> Path:
    """Return where the settings of a model file stand."""
    return model.with_name(model.name[: -len(".gguf")] + SUFFIX)


def read_settings(model: Path) -> ModelSettings:
    """Return the settings beside a model file; those of a file without any are empty.

    Raises:
        SettingsFileError: they are invalid, or cannot be read.
    """
    path = settings_path(model)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return NO_SETTINGS
    except OSError as error:
        raise SettingsFileError(path.name, f"cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise SettingsFileError(path.name, f"is larger than {_MAX_FILE_BYTES} bytes")
    try:
        return checked_settings(msgspec.json.decode(data, type=ModelSettings))
    except (msgspec.DecodeError, SettingsFileError, RecursionError) as error:
        raise SettingsFileError(path.name, f"is invalid: {error}") from error


def write_settings(model: Path, settings: ModelSettings) -> None:
    """Write the settings beside a model file, at once or not at all; empty ones are removed.

    Raises:
        OSError: they cannot be written.
    """
    path = settings_path(model)
    if settings == NO_SETTINGS:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(f".{secrets.token_hex(8)}{SUFFIX}.part")  # names have a limit
    data = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), _MODE)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
