"""Owns the commands `models list`, `models add` and `models remove`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from app.models.catalog import Catalog, ModelFile
from app.models.gguf import GgufError
from app.models.store import ModelRefused, add_model, remove_model

EXIT_OK = 0
EXIT_REFUSED = 1

_ACTIONS = {
    "list": "show the models in the models folder",
    "add": "copy a model into the models folder",
    "remove": "remove a model from the models folder",
}


def add_actions(
    command: argparse.ArgumentParser, add_settings: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Give the command `models` its actions, each with all settings as options."""
    actions = command.add_subparsers(dest="action", metavar="action", required=True)
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name == "add":
            action.add_argument("file", type=Path, metavar="FILE", help="the .gguf file")
            action.add_argument("--name", help="its name in the folder (default: unchanged)")
            action.add_argument(
                "--force", action="store_true", help="replace a model with that name"
            )
        if name == "remove":
            action.add_argument("model", metavar="NAME", help="the model's name")
        add_settings(action)


def run_action(options: argparse.Namespace, models_dir: Path) -> int:
    """Run the action and return the exit status: 1 if it was refused."""
    try:
        match options.action:
            case "add":
                return _add(models_dir, options.file, options.name, force=options.force)
            case "remove":
                return _remove(models_dir, options.model)
            case _:
                return list_models(Catalog(models_dir))
    except ModelRefused as error:
        print(f"distiller-llm: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        print("distiller-llm: interrupted; nothing was added", file=sys.stderr)
        return EXIT_REFUSED


def _add(models_dir: Path, file: Path, name: str | None, *, force: bool) -> int:
    added = add_model(models_dir, file, name, force=force)
    for path in added:
        print(f"added {path.name} ({path.stat().st_size / 1024**2:,.1f} MiB) to {models_dir}")
    catalog = Catalog(models_dir)
    if refusal := catalog.refusal(catalog.find(added[0].name)):
        print(f"warning: {added[0].name} {refusal}; it is not offered", file=sys.stderr)
    return EXIT_OK


def _remove(models_dir: Path, name: str) -> int:
    for path in remove_model(models_dir, name):
        print(f"removed {path.name} from {models_dir}")
    print(
        "a running server that has loaded it serves it until another model is loaded",
        file=sys.stderr,
    )
    return EXIT_OK


def list_models(catalog: Catalog) -> int:
    """Print the files of a folder with the facts in their headers, or why they cannot serve."""
    entries = catalog.files()
    if not entries:
        print(f"no model (.gguf file) in {catalog.models_dir}")
        return EXIT_OK
    titles = ["NAME", "SIZE", "ARCHITECTURE", "CONTEXT", "QUANTISATION", "CHAT TEMPLATE"]
    rows = [titles, *(_model_row(catalog, entry) for entry in entries)]
    complete = [row for row in rows if len(row) == len(titles)]
    widths = [max(map(len, column)) for column in zip(*complete, strict=True)]
    widths[0] = max(len(row[0]) for row in rows)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join(cells).rstrip())
    return EXIT_OK


def _model_row(catalog: Catalog, entry: ModelFile) -> list[str]:
    size = f"{entry.size_bytes / 1024**2:,.1f} MiB"
    try:
        kind = catalog.kind(entry)
        facts = None if kind.refusal else catalog.facts(entry)
    except GgufError as error:
        return [entry.name, size, f"unreadable: {error}"]
    if facts is None:
        return [entry.name, size, f"not offered: {kind.refusal}"]
    return [
        entry.name,
        size,
        facts.architecture,
        str(facts.n_ctx_train or "unknown"),
        facts.file_type or "unknown",
        "yes" if facts.has_chat_template else "no",
    ]
