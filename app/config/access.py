"""Owns the types of the access-control settings; must not know requests."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

# Names and addresses without a port; an IPv6 address in brackets or not.
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,253})|\[?[0-9a-f:.]{2,45}\]?")
# Browsers' own schemes too, such as chrome-extension:// and tauri://.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]{0,31}://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?"
)
ANY_ORIGIN = "*"


def _is_host(value: str) -> str:
    lowered = value.lower()
    if not _HOST.fullmatch(lowered):
        raise ValueError("not a host name")
    return lowered.strip("[]").rstrip(".")


def _is_origin(value: str) -> str:
    lowered = value.lower()
    if value != ANY_ORIGIN and not _ORIGIN.fullmatch(lowered):
        raise ValueError("not an origin")
    return lowered


HostName = Annotated[str, AfterValidator(_is_host)]
Origin = Annotated[str, AfterValidator(_is_origin)]
