"""Owns the API keys: their format, their sources and the lookup of a key.

A line, or an entry between commas, is `NAME:KEY`. Only digests are kept. Must not know HTTP:
`app.web.access_control` reads the headers.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.config.settings import Settings
from app.errors import SettingsInvalid

CREDENTIAL = "api-keys"
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
# The characters are those of a bearer token, RFC 6750, section 2.1.
_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9._-]{1,64})\s*:\s*(?P<key>[A-Za-z0-9._~+/=-]{16,256})",
)
_FORM = "must be NAME:KEY, the key of 16 to 256 of the characters A-Z a-z 0-9 . _ ~ + / = -"


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The valid API keys; if empty, requests need none.

    Args:
        digests: SHA-256 of each key by the key's name.
    """

    digests: tuple[tuple[str, bytes], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.digests)

    @property
    def names(self) -> list[str]:
        """The names of the keys, which are not secret."""
        return [name for name, _ in self.digests]

    def name_of(self, key: str) -> str | None:
        """Return the name of a key, or None if it is invalid.

        Takes constant time: all digests are compared, each in constant time.
        """
        digest = _digest(key)
        found = None
        for name, known in self.digests:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def read_api_keys(settings: Settings) -> ApiKeys:
    """Return the keys of all sources: both settings and the systemd credential.

    Raises:
        SettingsInvalid: a file cannot be read, an entry is malformed, a name is repeated, or
            `api_keys_file` has no key. No message quotes a key.
    """
    entries: list[tuple[str, str]] = []
    if settings.api_keys is not None:
        text = settings.api_keys.get_secret_value()
        source = f"api_keys ({settings.source('api_keys')})"
        entries += _parse(re.split(r"[,\n]", text), f"{source}, entry")
    if path := settings.api_keys_file:
        found = _read(path)
        if not found:
            raise SettingsInvalid(f"api_keys_file {path}: holds no key")
        entries += found
    folder = os.environ.get(_CREDENTIALS)
    if folder:
        entries += _read(Path(folder, CREDENTIAL), may_be_missing=True)
    return _joined(entries)


def _read(path: Path, *, may_be_missing: bool = False) -> list[tuple[str, str]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return []
        raise SettingsInvalid(f"api keys {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsInvalid(f"api keys {path}: is no text") from None
    return _parse(text.splitlines(), f"api keys {path}, line")


def _parse(lines: Iterable[str], where: str) -> list[tuple[str, str]]:
    entries = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        match = _ENTRY.fullmatch(entry)
        if not match:
            raise SettingsInvalid(f"{where} {number}: {_FORM}")
        entries.append((match["name"], match["key"]))
    return entries


def _joined(entries: list[tuple[str, str]]) -> ApiKeys:
    names = [name for name, _ in entries]
    for name in names:
        if names.count(name) > 1:
            raise SettingsInvalid(f"api keys: there are two of the name '{name}'")
    return ApiKeys(tuple((name, _digest(key)) for name, key in entries))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
