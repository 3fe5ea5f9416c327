"""Owns the schema of a `[[models]]` table; must not know the models folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.config.tables import Table, fault

_NAME = "a text of 1 to 255 printable characters"
TABLE = Table("models", "model", {"name": _NAME, "aliases": f"a list of texts, each {_NAME[2:]}"})


def _is_plain(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("not a name")
    return value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_is_plain)]


class ModelSetting(BaseModel):
    """What is configured of a model.

    Args:
        name: its file name, with or without `.gguf`.
        aliases: further names that requests may give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    aliases: list[Name] = []


def aliases_of(models: Sequence[ModelSetting]) -> dict[str, str]:
    """Return the name of the model by alias."""
    return {alias: model.name for model in models for alias in model.aliases}


def check_names(models: Sequence[ModelSetting]) -> None:
    """Refuse names and aliases that mean two things, also in upper and lower case.

    Raises:
        PydanticCustomError: a name or an alias is repeated.
    """
    TABLE.refuse_repeated_names(_alike(model.name.removesuffix(".gguf")) for model in models)
    known: set[str] = set()
    for index, model in enumerate(models):
        for alias in map(_alike, model.aliases):
            if alias in known:
                raise fault("aliases", f"has '{alias}', which another alias is too", index)
            known.add(alias)


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold()).removesuffix(":latest")
