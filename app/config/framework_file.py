"""Owns reading the section for this server in the device framework's JSON configuration.

    {"llm_providers": {"llama-cpp": {"server_url": "http://127.0.0.1:8000", "model_name": …}}}

The file belongs to another program: unrelated keys are ignored. `app.config.settings` validates the
values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.base.ip_address import is_loopback
from app.errors import SettingsInvalid
from app.parameters.names import canonical

VARIABLE = "MCP_CONFIG_FILE"
_PART = ("llm_providers", "llama-cpp")
_SETTINGS = (
    "model_name", "n_ctx", "n_gpu_layers", "n_threads", "n_batch", "seed", "temperature", "top_p",
    "top_k", "min_p", "max_tokens", "repeat_penalty", "repetition_penalty", "frequency_penalty",
    "presence_penalty",
)  # fmt: skip
# Used by the framework itself, as a client.
_OF_THE_CLIENT = ("timeout", "stop", "stream", "streaming")


@dataclass(frozen=True, slots=True)
class FrameworkPart:
    """The settings found in the section.

    Args:
        values: by setting name.
        keys: the key of each value, by setting name.
        warnings: a sentence each.
    """

    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_framework(path: Path) -> FrameworkPart:
    """Return the settings in the framework's configuration file.

    Raises:
        SettingsInvalid: it cannot be read, is not valid JSON, or the section is not an object.
    """
    try:
        whole = json.loads(path.read_bytes())
    except OSError as error:
        raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsInvalid(f"{path}: is not valid JSON: {error}") from error
    part = whole
    for index in range(len(_PART) + 1):
        if not isinstance(part, dict):
            where = ".".join(_PART[:index]) or "the whole"
            raise SettingsInvalid(f"{where} ({path}): must be an object")
        if index < len(_PART):
            if _PART[index] not in part:
                return FrameworkPart(warnings=[f"{path} has no {'.'.join(_PART)}"])
            part = part[_PART[index]]
    return _translated(part, path)


def _translated(part: Mapping[str, Any], path: Path) -> FrameworkPart:
    found = FrameworkPart()
    unknown = []
    for key, value in part.items():
        if value is None or key in _OF_THE_CLIENT:
            continue
        if key == "server_url":
            named = _address(value, path)
        elif key in _SETTINGS:
            named = canonical({key: value})
        else:
            unknown.append(key)
            continue
        found.values.update(named)
        found.keys.update(dict.fromkeys(named, ".".join((*_PART, key))))
    if unknown:
        found.warnings.append(
            f"{path}: {', '.join(unknown)} in {'.'.join(_PART)} mean nothing here"
        )
    return found


def _address(url: object, path: Path) -> dict[str, Any]:
    """Return host and port of a URL; the host only if it is loopback, which can be listened on."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != "http" or not host:
        shown = json.dumps(url, ensure_ascii=False)
        raise SettingsInvalid(
            f"{'.'.join(_PART)}.server_url = {shown} ({path}): "
            "must be an address such as http://127.0.0.1:8000"
        )
    named: dict[str, Any] = {} if port is None else {"port": port}
    return named | ({"host": host} if is_loopback(host) else {})
