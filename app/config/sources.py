"""Owns the sources of settings and their error messages.

In order of precedence: command line, environment (`DISTILLER_LLM_<NAME>`), the configuration of the
device's framework (JSON), configuration file (TOML), defaults. `load_settings` reads them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from app.config import clients, models, profiles
from app.config.access import HostName, Origin
from app.config.framework_file import VARIABLE, FrameworkPart, read_framework
from app.config.profiles import FILE_FIELDS
from app.config.settings import (
    DEFAULT_SOURCE,
    ENV_PREFIX,
    Settings,
    detail,
    is_unset,
    kind_of,
    setting_names,
)
from app.errors import SettingsInvalid

_TABLES = {table.setting: table for table in (profiles.TABLE, models.TABLE, clients.TABLE)}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
CONFIG_SEARCH = (Path("/etc/distiller-llm/config.toml"), Path("distiller-llm.toml"))


def is_switch(name: str) -> bool:
    """Return whether a setting is a boolean that cannot be `auto`."""
    return kind_of(name) == (bool, False)


def is_secret(name: str) -> bool:
    """Return whether a setting is secret: never shown, and not a command-line option."""
    return kind_of(name)[0] is SecretStr


def allowed_values(name: str) -> str:
    """Return the allowed values of a setting, for people."""
    kind, optional = kind_of(name)
    text = detail(name, "allowed") or _allowed(kind, Settings.model_fields[name].metadata)
    return f"{text}, or auto" if optional else text


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Return name, TOML value and source of every setting; secrets are masked."""
    return [
        (name, _as_toml(getattr(settings, name)), settings.source(name)) for name in setting_names()
    ]


def load_settings(
    cli: Mapping[str, Any],
    config_path: Path | None = None,
    *,
    framework_path: Path | None = None,
    search: Sequence[Path] = CONFIG_SEARCH,
) -> Settings:
    """Read all sources once and return the merged settings.

    Relative paths in the configuration file are relative to the file's folder, all others to
    the working directory.

    Args:
        cli: values from the command line by setting name; None means not given.
        config_path: the configuration file; without it the first of `search` that exists.
        framework_path: the framework's configuration; defaults to MCP_CONFIG_FILE, if that exists.

    Raises:
        SettingsInvalid: the file is missing or malformed, a name is unknown or a value is
            invalid; one line for each problem.
    """
    path, from_file = _read_config(config_path, search)
    framework_path, framework = _read_framework(framework_path)
    from_cli = {name: value for name, value in cli.items() if value is not None}
    problems = _unknown_keys(from_file, str(path)) + _unknown_keys(from_cli, "command line")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer, label in (
        (from_file, _in_file(path)),
        (framework.values, lambda name: f"{framework_path} {framework.keys[name]}"),
        (EnvSettingsSource(Settings)(), _in_environment),
        (from_cli, _on_command_line),
    ):
        for name in layer.keys() & Settings.model_fields.keys():
            values[name] = layer[name]
            sources[name] = label(name)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [_problem(details, values, sources) for details in _in_order(error)]
        raise SettingsInvalid("\n".join(problems)) from error
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return settings.with_sources(sources, framework.warnings)


def unknown_environment() -> list[str]:
    """Return a warning for each `DISTILLER_LLM_*` variable that is not a setting."""
    prefix_length = len(ENV_PREFIX)
    return [
        f"environment variable {variable} is no setting{_suggestion(name, _variable)}"
        for variable in sorted(os.environ)
        if variable.upper().startswith(ENV_PREFIX)
        and (name := variable[prefix_length:].lower()) not in Settings.model_fields
    ]


# ---------------------------------------------------------------- reading


def _read_config(
    explicit: Path | None, search: Sequence[Path]
) -> tuple[Path | None, dict[str, Any]]:
    for path in [explicit] if explicit else search:
        try:
            text = path.read_bytes().decode()
            return path, _anchored(tomllib.loads(text), path.absolute().parent)
        except (FileNotFoundError, NotADirectoryError) as error:
            if explicit:
                raise SettingsInvalid(f"{path}: there is no such file") from error
        except OSError as error:
            raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise SettingsInvalid(f"{path}: is not valid TOML: {error}") from error
    return None, {}


def _read_framework(explicit: Path | None) -> tuple[Path | None, FrameworkPart]:
    named = os.environ.get(VARIABLE)
    path = explicit or (Path(named) if named else None)
    if path is None:
        return None, FrameworkPart()
    if not explicit and not path.exists():
        return None, FrameworkPart(warnings=[f"{VARIABLE}: there is no file {path}"])
    return path, read_framework(path)


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a file in `folder` with its relative paths made absolute."""

    def anchor(value: Any) -> Any:
        if not isinstance(value, str) or not value or value.startswith("~"):
            return value
        return str(folder / value)

    def anchor_setting(name: str, value: Any) -> Any:
        return value if is_unset(name, value) else anchor(value)

    def anchor_in(table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        return {key: anchor(x) if key in FILE_FIELDS else x for key, x in table.items()}

    anchored = dict(values)
    for name in values.keys() & Settings.model_fields.keys():
        if kind_of(name)[0] is Path:
            anchored[name] = anchor_setting(name, values[name])
    if isinstance(values.get("profiles"), list):
        anchored["profiles"] = [anchor_in(table) for table in values["profiles"]]
    return anchored


# ---------------------------------------------------------------- wording


def _in_file(path: Path | None) -> Callable[[str], str]:
    return lambda _: str(path)


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _in_environment(name: str) -> str:
    return f"environment {_variable(name)}"


def _on_command_line(name: str) -> str:
    return f"command line --{name.replace('_', '-')}"


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    SecretStr: "a text",
    list[profiles.ProfileSetting]: "a list of tables",
    list[models.ModelSetting]: "a list of tables",
    list[clients.ClientSetting]: "a list of tables",
    list[HostName]: "a list of names or addresses without a port",
    list[Origin]: "a list of origins such as https://example.org, or * for all",
}


def _allowed(kind: Any, constraints: Sequence[Any]) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if kind in _KINDS:
        return _KINDS[kind] + _bounds(constraints)
    (element,) = get_args(kind)  # of a list of texts, whose bounds are pydantic's
    _, field = get_args(element)
    return f"a list of {_lengths(constraints)} texts, each{_characters(field.metadata)}"


def _bounds(constraints: Sequence[Any]) -> str:
    least = next((c.ge for c in constraints if isinstance(c, Ge)), None)
    above = next((c.gt for c in constraints if isinstance(c, Gt)), None)
    most = next((c.le for c in constraints if isinstance(c, Le)), None)
    if least is not None:
        return f" from {least} to {most}"
    if above is not None:
        return f" above {above}" + ("" if most is None else f", at most {most}")
    return _characters(constraints)


def _characters(constraints: Sequence[Any]) -> str:
    lengths = _lengths(constraints)
    return f" of {lengths} characters" if lengths else ""


def _lengths(constraints: Sequence[Any]) -> str:
    least = next((c.min_length for c in constraints if isinstance(c, MinLen)), 0)
    most = next((c.max_length for c in constraints if isinstance(c, MaxLen)), None)
    return "" if most is None else f"{least} to {most}"


def _as_toml(value: object) -> str:
    match value:
        case None:
            return '"auto"'
        case BaseModel():
            return _as_toml(value.model_dump(exclude_unset=True))
        case list():
            return f"[{', '.join(map(_as_toml, value))}]"
        case dict():
            pairs = [(_toml_key(key), x) for key, x in value.items() if x is not None]
            return f"{{{', '.join(f'{key} = {_as_toml(x)}' for key, x in pairs)}}}"
        case Path() | SecretStr():
            return _as_toml(str(value).encode(errors="backslashreplace").decode())
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _in_order(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors in the order of the settings; those of combinations come last."""
    order = [*setting_names(), ""]
    return sorted(error.errors(), key=lambda each: order.index(str((*each["loc"], "")[0])))


def _problem(details: ErrorDetails, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    context = details.get("ctx", {})
    name = str(details["loc"][0] if details["loc"] else context["name"])
    source = sources.get(name, DEFAULT_SOURCE)
    if name in _TABLES and (len(details["loc"]) > 1 or "fault" in context):
        return f"{_TABLES[name].explain(details)} ({source})"
    allowed = context.get("allowed") or allowed_values(name)
    given = "********" if is_secret(name) else _as_toml(values.get(name))
    if len(given) > 80:
        given = given[:80] + "…"
    return f"{name} = {given} ({source}): must be {allowed}"


def _unknown_keys(values: Mapping[str, Any], source: str) -> list[str]:
    return [
        f"{name} ({source}): is no setting{_hint(name, value)}"
        for name, value in values.items()
        if name not in Settings.model_fields
    ]


def _hint(name: str, value: object) -> str:
    if isinstance(value, dict):
        return "; settings stand at the top level, not in tables"
    return _suggestion(name)


def _suggestion(name: str, spelled: Callable[[str], str] = str) -> str:
    close = difflib.get_close_matches(name.replace("-", "_"), setting_names(), n=1)
    return f"; did you mean {spelled(close[0])}?" if close else ""
