"""Owns which Host headers are names of this server; pure.

A web page whose name its owner points at this device (DNS rebinding) sends that name as Host: a
browser lets the page read the answers then. It cannot send another one.
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
    """Return whether a host is this server, as far as a client can know.

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
