"""Owns the schema of a `[[profiles]]` table; must not know how a profile is restored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.config.tables import Table, fault

TABLE = Table(
    "profiles",
    "profile",
    {
        "name": "1 to 64 of the characters A-Z a-z 0-9 . _ -",
        "model": "a text",
        "messages": "a list of messages, each with a role",
        "messages_file": "a path of a JSON file",
        "tools": "a list of tools",
        "tools_file": "a path of a JSON file",
    },
)
FILE_FIELDS = ("messages_file", "tools_file")

JsonObjects = list[dict[str, Any]]


def absolute(path: Path) -> Path:
    """Return a path as an absolute one, with `~` expanded.

    Raises:
        ValueError: it is not a valid path.
    """
    if "\0" in str(path):
        raise ValueError("no path")
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("no such home folder") from error


class ProfileSetting(BaseModel):
    """A prompt prefix to prefill, as configured; its files are not read here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    model: str = ""
    messages: Annotated[JsonObjects, Field(min_length=1)] | None = None
    messages_file: Path | None = None
    tools: JsonObjects | None = None
    tools_file: Path | None = None

    @field_validator(*FILE_FIELDS)
    @classmethod
    def _is_absolute(cls, path: Path | None) -> Path | None:
        return path and absolute(path)

    @field_validator(*FILE_FIELDS, mode="before")
    @classmethod
    def _is_some_path(cls, path: object) -> object:
        if not path:
            raise ValueError("no path")
        return path

    @field_validator("messages")
    @classmethod
    def _have_roles(cls, messages: JsonObjects | None) -> JsonObjects | None:
        for message in messages or ():
            if not isinstance(message.get("role"), str):
                raise ValueError("no role")
        return messages

    @model_validator(mode="after")
    def _are_given_one_way(self) -> Self:
        if self.messages is None and self.messages_file is None:
            raise fault("messages", "is missing, and so is messages_file")
        for field, file in (("messages", "messages_file"), ("tools", "tools_file")):
            if getattr(self, field) is not None and getattr(self, file) is not None:
                raise fault(file, f"must not be given beside {field}")
        return self
