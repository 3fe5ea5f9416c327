"""Owns which model a name means: file names, `:latest`, aliases, upper and lower case; no I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

SUFFIX = ".gguf"
_LATEST = ":latest"

UnknownModel = Literal["refuse", "default"]


@dataclass(frozen=True, slots=True)
class Naming:
    """How models may be called besides their file names.

    Args:
        aliases: for each alias the model's name as configured, with or without `.gguf`.
        unknown_model: what a name means that no model has; `default` is the default model.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    unknown_model: UnknownModel = "refuse"

    def configured(self, name: str) -> str:
        """Return the configured name of the model where `name` is an alias, else `name`."""
        same = (model for alias, model in self.aliases.items() if _key(alias) == _key(name))
        return next(same, name)

    def aliases_of(self, name: str, names: Sequence[str]) -> list[str]:
        """Return the aliases that mean a file, in the order in which they are configured.

        Args:
            names: all file names.
        """
        return [alias for alias in self.aliases if meant(alias, names, self.aliases) == [name]]

    def faults(self, names: Sequence[str]) -> list[str]:
        """Return a sentence for each alias that has no effect.

        Args:
            names: all file names.
        """
        found = []
        for alias, model in self.aliases.items():
            if taken := meant(alias, names, {}):
                found.append(f"alias '{alias}' of {model} is the name of the file {taken[0]}")
            elif not meant(model, names, {}):
                found.append(f"alias '{alias}' is of {model}, which is not in the models folder")
        return found


def meant(asked: str, names: Sequence[str], aliases: Mapping[str, str]) -> list[str]:
    """Return the files that a name means equally well; none if no model has the name.

    Exact spelling comes before another Unicode form, which comes before upper and lower case; in
    each, a file name comes before the name without `.gguf`, and that before an alias. The tag
    `:latest` is optional.

    Args:
        asked: the name.
        names: file names.
        aliases: name of a model by alias.
    """
    for form in dict.fromkeys((asked, _untagged(asked))):
        for alike in (str, composed_name, _folded):
            if found := _alike(form, alike, names, aliases):
                return found
    return []


def composed_name(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), for comparisons."""
    return unicodedata.normalize("NFC", name)


def _alike(
    asked: str, alike: Callable[[str], str], names: Sequence[str], aliases: Mapping[str, str]
) -> list[str]:
    wanted = alike(asked)
    for known in (str, _stem):
        if found := [name for name in names if alike(known(name)) == wanted]:
            return found
    found = []
    for alias, model in aliases.items():
        if wanted in (alike(alias), alike(_untagged(alias))):
            found += meant(model, names, {})
    return list(dict.fromkeys(found))


def _stem(name: str) -> str:
    return name[: -len(SUFFIX)]


def _untagged(name: str) -> str:
    """Return a name without the tag `:latest`."""
    bare = name[: -len(_LATEST)]
    return bare if bare and name.lower().endswith(_LATEST) else name


def _folded(name: str) -> str:
    return composed_name(composed_name(name).casefold())


def _key(name: str) -> str:
    return _folded(_untagged(name))
