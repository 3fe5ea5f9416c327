"""Owns the check whether a Host header names this server; no I/O.

Against DNS rebinding: a web page whose domain resolves to this device is same-origin to the
browser, but its requests carry that domain as Host.
"""

from __future__ import annotations

import re
from collections.abc import Set

from app.base.ip_address import parse_address, without_zone

_HEADER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(:\d{0,5})?")


def name_in(header: str) -> str | None:
    """Return the host of a Host header in lower case, without port and brackets, or None."""
    match = _HEADER.fullmatch(header.strip())
    return match[1].strip("[]").rstrip(".").lower() if match else None


def is_own_name(name: str, reached_at: str, allowed: Set[str]) -> bool:
    """Return whether a host name or address is one of this server's.

    Args:
        name: what `name_in` returned.
        reached_at: the address on which the connection arrived.
        allowed: further names.
    """
    if name in allowed or name == "localhost" or name.endswith(".localhost"):
        return True
    address = parse_address(name)
    if address is None:
        return False
    return address.is_loopback or address == parse_address(without_zone(reached_at))
