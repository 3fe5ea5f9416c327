"""Owns the listening sockets: passed by systemd, or opened as configured.

Must not know what is served on them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.base.ip_address import is_loopback, without_zone
from app.config.settings import Settings
from app.errors import SettingsInvalid
from app.logs import get_logger
from app.systemd.notify import HandedFd
from app.web.api_keys import ApiKeys

BACKLOG = 128
_UNIX_MODE = 0o660
_PROBE_S = 1.0
# Errors where the host lacks an address family, e.g. with IPv6 disabled.
_UNAVAILABLE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
# A port that is free on one address may be in use on another.
_TRIES = 10

Address = tuple[socket.AddressFamily, tuple[Any, ...]]

log = get_logger("server")


class CannotListen(Exception):
    """Listening on an address failed; the message has the address and the reason."""


@dataclass(slots=True)
class Listener:
    """A listening socket.

    Args:
        url: its address, such as `http://127.0.0.1:8000` or `unix:/run/x.sock`.
        is_local: whether only this machine can reach it.
        path: the socket file to remove on close; None if it is not ours.
    """

    socket: socket.socket
    url: str
    is_local: bool = True
    path: Path | None = None
    inode: int = 0

    def remove_file(self) -> None:
        """Remove the file of a unix socket, unless another service has replaced it."""
        with contextlib.suppress(OSError):
            if self.path and self.path.lstat().st_ino == self.inode:
                self.path.unlink()

    def close(self) -> None:
        """Close the socket and remove its file."""
        self.remove_file()
        self.socket.close()


def open_listeners(settings: Settings, handed: list[HandedFd]) -> list[Listener]:
    """Return the sockets to serve: those passed by systemd, else those of the settings.

    Raises:
        CannotListen: an address is in use or not permitted.
    """
    listeners = [listener for item in handed if (listener := _adopt(item))]
    if listeners:
        return listeners
    listeners = _listen_tcp(settings.host, settings.port)
    try:
        if settings.ollama_port and settings.ollama_port != settings.port:
            listeners += _listen_tcp(settings.host, settings.ollama_port)
        if settings.unix_socket:
            listeners.append(_listen_unix(settings.unix_socket))
    except CannotListen:
        _close(listeners)
        raise
    return listeners


def require_api_key(listeners: Sequence[Listener], settings: Settings, keys: ApiKeys) -> None:
    """Require API keys if other machines can reach a socket, unless `allow_unauthenticated` is set.

    Raises:
        SettingsInvalid: there are no keys.
    """
    reached = [listener.url for listener in listeners if not listener.is_local]
    if reached and not keys and not settings.allow_unauthenticated:
        raise SettingsInvalid(
            f"other machines could use {', '.join(reached)} without a key: give clients keys "
            "(api_keys_file, or /etc/distiller-llm/api-keys of the installed service), listen on "
            "127.0.0.1 only, or set allow_unauthenticated"
        )


def _adopt(item: HandedFd) -> Listener | None:
    """Return the socket of a passed descriptor; None if it cannot be served."""
    try:
        found = socket.socket(fileno=item.fd)
    except OSError as error:
        log.warning("handed_fd_not_served", fd=item.fd, name=item.name, reason=error.strerror)
        os.close(item.fd)
        return None
    listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if found.type == socket.SOCK_STREAM and listens:
        if found.family == socket.AF_UNIX:
            return Listener(found, _unix_url(found))
        if found.family in (socket.AF_INET, socket.AF_INET6):
            _enable_keepalive(found)
            return Listener(found, _tcp_url(found), is_local=_is_local(found))
    reason = "it is no socket that listens for TCP or unix streams"
    log.warning("handed_fd_not_served", fd=item.fd, name=item.name, reason=reason)
    found.close()
    return None


def _unix_url(listener: socket.socket) -> str:
    name: str | bytes = listener.getsockname()
    return f"unix:{name if isinstance(name, str) else '@' + name[1:].decode(errors='replace')}"


# ---------------------------------------------------------------- TCP


def _listen_tcp(host: str, port: int) -> list[Listener]:
    """Listen on every address of a host, all on the same port, also for port 0."""
    tries = _TRIES if port == 0 else 1
    while True:
        try:
            return _listen_on_all(_addresses(host), port)
        except (OSError, UnicodeError) as error:
            tries -= 1
            if not tries or getattr(error, "errno", None) != errno.EADDRINUSE:
                raise CannotListen(f"{host}:{port}: {error}") from error


def _addresses(host: str) -> list[Address]:
    """Return the distinct addresses of a host, the preferred one first."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen_on_all(addresses: Sequence[Address], port: int) -> list[Listener]:
    """Listen on those of the addresses that this machine has.

    Raises:
        OSError: one is in use or not permitted, or the machine has none of them.
    """
    listeners: list[Listener] = []
    lacking: OSError | None = None
    try:
        for family, address in addresses:
            try:
                listener = _listen_on(family, address, port, is_alone=len(addresses) == 1)
            except OSError as error:
                if error.errno not in _UNAVAILABLE:
                    raise
                lacking = error
                log.info("address_not_served", host=address[0], reason=error.strerror)
            else:
                listeners.append(listener)
                port = listener.socket.getsockname()[1]
        if lacking and not listeners:
            raise lacking
    except OSError:
        _close(listeners)
        raise
    return listeners


def _listen_on(
    family: socket.AddressFamily, address: tuple[Any, ...], port: int, *, is_alone: bool
) -> Listener:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not is_alone:  # IPv4 has its own socket
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _enable_keepalive(listener)
        listener.bind((address[0], port, *address[2:]))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return Listener(listener, _tcp_url(listener), is_local=_is_local(listener))


def _close(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.close()


def _tcp_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _is_local(listener: socket.socket) -> bool:
    return is_loopback(without_zone(str(listener.getsockname()[0])))


def _enable_keepalive(listener: socket.socket) -> None:
    """Enable TCP keepalive, which accepted connections inherit."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


# ---------------------------------------------------------------- unix sockets


def _listen_unix(path: Path) -> Listener:
    """Listen on a path; replaces a stale socket, but nothing else."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _check_replaceable(path)
        listener.bind(str(temporary))
        temporary.chmod(_UNIX_MODE)
        listener.listen(BACKLOG)
        inode = temporary.lstat().st_ino
        temporary.rename(path)  # atomic: clients never see a socket that does not listen
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CannotListen(f"unix_socket {path}: {error.strerror or error}") from error
    return Listener(listener, f"unix:{path}", path=path, inode=inode)


def _check_replaceable(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(0, "there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise OSError(error.errno, f"cannot be tried: {error.strerror or error}") from error
    raise OSError(0, "another service listens there")
