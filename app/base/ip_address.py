"""Owns IP addresses as text; pure."""

from __future__ import annotations

import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> IpAddress | None:
    """Return an address, an IPv4 one that is mapped into IPv6 as IPv4; None where it is none.

    Args:
        text: without brackets, port or zone: a name such as `127.0.0.1%.example` is no address.
    """
    try:
        address = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def without_zone(address: str) -> str:
    """Return an address that a socket reported without its zone, such as `%eth0`."""
    return address.partition("%")[0]


def is_loopback(text: str) -> bool:
    """Return whether an address, or the name `localhost`, is this device and nothing else."""
    address = parse_address(text)
    return text == "localhost" if address is None else address.is_loopback
