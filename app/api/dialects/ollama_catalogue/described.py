"""Owns a model as Ollama's clients see it, made of its file, its header and its settings."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.logs import get_logger
from app.models.card import ModelCard, shows_thoughts
from app.models.catalog import Catalog, ModelFile, part_names
from app.models.content.digests import FileDigests
from app.models.facts import ModelFacts
from app.models.gguf import Skipped, Value
from app.models.settings_file import (
    NO_SETTINGS,
    ModelSettings,
    SettingsFileError,
    read_settings,
    settings_path,
)

LATEST = ":latest"

_SUFFIX_BYTES = len(".gguf")
_TEMPLATE_KEY = "tokenizer.chat_template"
_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "K"))

log = get_logger("ollama")


@dataclass(frozen=True, slots=True)
class Described:
    """A model as clients see it.

    Args:
        digest: of its content and settings; a stand-in until that of the content is known.
        modified_s: when it or its settings changed.
    """

    file: ModelFile
    facts: ModelFacts
    card: ModelCard
    settings: ModelSettings
    digest: str
    modified_s: float

    @property
    def name(self) -> str:
        """Its name with a tag."""
        return tagged(self.file.name[:-_SUFFIX_BYTES])

    @property
    def capabilities(self) -> list[str]:
        """What it can do; calls are read from every model, whatever its template shows."""
        template = self.settings.template
        thinks = shows_thoughts(template) if template else self.card.shows_thoughts
        more = {"thinking": thinks, "insert": self.card.fills_gaps}
        return ["completion", "tools", *(name for name, can in more.items() if can)]

    @property
    def details(self) -> dict[str, Any]:
        """Its kind."""
        return {
            "parent_model": self.settings.parent,
            "format": "gguf",
            "family": self.facts.architecture,
            "families": [self.facts.architecture],
            "parameter_size": human_count(self.card.n_params),
            "quantization_level": self.facts.file_type or "unknown",
            "context_length": self.facts.n_ctx_train,
            "embedding_length": self.facts.n_embd,
        }

    def listed(self, name: str) -> dict[str, Any]:
        """Return its entry in a list.

        Args:
            name: the file's, or an alias.
        """
        return {
            "name": name,
            "model": name,
            "modified_at": timestamp(self.modified_s),
            "size": self.file.size_bytes,
            "digest": self.digest,
            "details": self.details,
            "capabilities": self.capabilities,
        }


def describe(catalog: Catalog, digests: FileDigests, file: ModelFile) -> Described:
    """Return a model as clients see it; reads files.

    Raises:
        GgufError: it is not a valid GGUF file.
    """
    settings, modified_s = _settings(file)
    return Described(
        file=file,
        facts=catalog.facts(file),
        card=catalog.card(file),
        settings=settings,
        digest=_digest(digests, file, settings),
        modified_s=max(file.modified_s, modified_s),
    )


def _settings(file: ModelFile) -> tuple[ModelSettings, float]:
    """Return the settings of a model and when they changed; invalid ones do not hide it."""
    try:
        settings = read_settings(file.path)
        return settings, settings_path(file.path).stat().st_mtime
    except FileNotFoundError:
        return NO_SETTINGS, 0.0
    except (SettingsFileError, OSError) as error:
        log.warning("model_settings_invalid", model=file.name, error=str(error))
        return NO_SETTINGS, 0.0


def _digest(digests: FileDigests, file: ModelFile, settings: ModelSettings) -> str:
    names = part_names(file.name) or [file.name]
    content = digests.find([file.path.with_name(name) for name in names])
    if content is None:
        state = f"{file.name} {file.size_bytes} {file.modified_s}"
        content = hashlib.sha256(state.encode()).hexdigest()
    if settings == NO_SETTINGS:
        return content
    return hashlib.sha256(f"{content} {settings!r}".encode()).hexdigest()


def tagged(name: str) -> str:
    """Return a name with a tag, as Ollama's are."""
    return name if ":" in name else f"{name}{LATEST}"


def names_of(name: str, aliases: Iterable[str]) -> list[str]:
    """Return the names under which a model is listed, each of them once.

    Args:
        name: its own, with a tag.
        aliases: its further names; one of them may be its own.
    """
    return list(dict.fromkeys([name, *map(tagged, aliases)]))


def human_count(number: int) -> str:
    """Return a number of parameters for people: `134.5M`, `3.2B`, `7B`."""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return str(number)


def timestamp(seconds: float) -> str:
    """Return a time since 1970 as RFC 3339 has it, in a form that Python 3.10 reads too."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="microseconds")


def model_info(
    values: Mapping[str, Value], described: Described, *, verbose: bool
) -> dict[str, Any]:
    """Return the metadata of a header; arrays, and texts too large to keep, are null.

    Args:
        verbose: whether the arrays that were kept are shown.
    """
    shown = {
        key: _plain(value, verbose=verbose) for key, value in values.items() if key != _TEMPLATE_KEY
    }
    card, stem = described.card, described.file.name[:-_SUFFIX_BYTES]
    return shown | {
        "general.architecture": described.facts.architecture,
        "general.basename": card.basename or stem,
        "general.parameter_count": card.n_params,
    }


def _plain(value: Value, *, verbose: bool) -> Any:
    if isinstance(value, Skipped):
        return None
    if isinstance(value, tuple):
        return list(value) if verbose else None
    return value
