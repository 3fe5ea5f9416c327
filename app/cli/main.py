"""Owns the command line; must not import the server for commands other than `serve`."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import app
from app import logs
from app.base.ip_address import is_loopback
from app.cli.models import EXIT_OK, add_actions, run_action
from app.config.models import aliases_of
from app.config.settings import Settings, setting_names
from app.config.sources import (
    allowed_values,
    describe,
    is_secret,
    is_switch,
    load_settings,
    unknown_environment,
)
from app.errors import ModelNotFound, SettingsInvalid
from app.models.catalog import Catalog
from app.models.names import Naming
from app.systemd import notify
from app.web.api_keys import read_api_keys

PROGRAM = "distiller-llm"
EXIT_USAGE = 2

_COMMANDS = {
    "serve": "run the server (the default command)",
    "check-config": "check that all settings are valid",
    "print-config": "print every setting with its value and source",
    "models": "list, add or remove models in the models folder",
    "recommend-memory": "print the recommended memory limits for this device and model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 2 for an invalid option or setting.

    Args:
        argv: arguments without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parse(arguments)
        cli = {name: value for name, value in vars(options).items() if name in setting_names()}
        read = partial(_read_settings, cli, options.config, options.framework_config)
        settings = read()
    except SettingsInvalid as error:
        for line in error.message.splitlines():
            print(f"{PROGRAM}: {line}", file=sys.stderr)
        return EXIT_USAGE
    except SystemExit as end:  # argparse ends --help, --version and wrong options this way
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    return _run(options, settings, read)


def _read_settings(cli: Mapping[str, Any], config: Path | None, framework: Path | None) -> Settings:
    settings = load_settings(cli, config, framework_path=framework)
    read_api_keys(settings)
    if settings.profiles:
        from app.api.profiles import read_profiles

        read_profiles(settings)
    return settings


def _run(
    options: argparse.Namespace, settings: Settings, read_again: Callable[[], Settings]
) -> int:
    match options.command:
        case "check-config":
            return _check_config(settings)
        case "print-config":
            return _print_config(settings)
        case "models":
            return run_action(options, settings.models_dir)
        case "recommend-memory":
            from app.cli.memory import recommend_memory

            return recommend_memory(settings)
        case _:
            return _serve(settings, read_again)


# ---------------------------------------------------------------- commands


def _serve(settings: Settings, read_again: Callable[[], Settings]) -> int:
    logs.configure(settings.log_level, settings.log_format)
    for sentence in [*unknown_environment(), *settings.warnings]:
        logs.get_logger(__name__).warning(sentence)
    manager = notify.take_over()  # before any child process could inherit it
    from app.host.process.spawn import SpawnedEngine

    spawned = SpawnedEngine()  # imports llama.cpp while this process imports Sanic
    from app.server import serve

    return serve(settings, spawned, manager, read_again)


def _check_config(settings: Settings) -> int:
    print("configuration is valid")
    by_source: dict[str, list[str]] = {}
    for name, _, source in describe(settings):
        by_source.setdefault(source, []).append(name)
    for source, names in by_source.items():
        print(f"  {source}: {', '.join(names) if source != 'default' else 'all other settings'}")
    warnings = [
        *unknown_environment(),
        *settings.warnings,
        *_listen_warnings(settings),
        *_model_warnings(settings),
    ]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return EXIT_OK


def _listen_warnings(settings: Settings) -> list[str]:
    if is_loopback(settings.host) or settings.allow_unauthenticated or read_api_keys(settings):
        return []
    return [f"host {settings.host} is reachable from other machines: an API key is required"]


def _model_warnings(settings: Settings) -> list[str]:
    if not settings.models_dir.is_dir():
        return [f"models_dir {settings.models_dir} is not a folder"]
    catalog = Catalog(settings.models_dir, Naming(aliases_of(settings.models)))
    try:
        found = catalog.default(settings.model_name)
    except ModelNotFound as error:
        return [f"model_name: {error.message}"]
    if found is None:
        return [f"no model (.gguf file) in {settings.models_dir}"]
    warnings = [*catalog.alias_faults(), *_profile_warnings(settings, catalog)]
    if refusal := catalog.refusal(found):
        return [f"{found.name} {refusal}", *warnings]
    return warnings


def _profile_warnings(settings: Settings, catalog: Catalog) -> list[str]:
    warnings = []
    for index, profile in enumerate(settings.profiles):
        try:
            if profile.model:
                catalog.find(profile.model)
        except ModelNotFound as error:
            warnings.append(f"profiles[{index}].model: {error.message}")
    return warnings


def _print_config(settings: Settings) -> int:
    for name, value, source in describe(settings):
        print(f"{name} = {value}  # {source}")
    return EXIT_OK


# ---------------------------------------------------------------- parsing


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{PROGRAM}: {message}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks up the version lazily."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            version = metadata.version(PROGRAM)
        except metadata.PackageNotFoundError:
            version = app.__version__
        print(PROGRAM, version)
        parser.exit()


def _parse(arguments: list[str]) -> argparse.Namespace:
    top_level = ("-h", "--help", "--version")
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in top_level):
        arguments = ["serve", *arguments]
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown_argument(unknown[0]))
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="An OpenAI-compatible server for language models on small devices.",
        epilog=f"'{PROGRAM} serve --help' lists the settings, which every command takes.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name == "models":
            add_actions(command, _add_settings)
        else:
            _add_settings(command)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--version", action=_Version)
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file (TOML) to use"
    )
    command.add_argument(
        "--framework-config",
        type=Path,
        metavar="FILE",
        help="configuration (JSON) of the device's framework, to take its part on this server from",
    )
    for name in _options():
        field = Settings.model_fields[name]
        text = f"{field.description} ({allowed_values(name)}; default: {_default(field.default)})"
        shape: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "metavar": "VALUE"}
        if is_switch(name):
            shape |= {"nargs": "?", "const": "true"}
        hyphenated = "--" + name.replace("_", "-")
        command.add_argument(hyphenated, help=text.replace("%", "%%"), **shape)
        if hyphenated != f"--{name}":
            command.add_argument(f"--{name}", help=argparse.SUPPRESS, **shape)


def _options() -> list[str]:
    return [name for name in setting_names() if not is_secret(name)]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "auto" if value is None else str(value)


def _unknown_argument(argument: str) -> str:
    if argument in _COMMANDS:
        return f"the command '{argument}' must come before all options"
    if not argument.startswith("--"):
        return f"unexpected argument '{argument}'"
    option = argument.partition("=")[0]
    options = [
        "--config",
        "--framework-config",
        *("--" + name.replace("_", "-") for name in _options()),
    ]
    close = difflib.get_close_matches(option.replace("_", "-"), options, n=1)
    return f"unknown option {option}" + (f"; did you mean {close[0]}?" if close else "")
