"""What is listened on, and that what other machines can reach needs a key or a setting."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.config.settings import Settings
from app.errors import SettingsInvalid
from app.systemd.notify import HandedFd
from app.web import listeners as listeners_module
from app.web.api_keys import ApiKeys, read_api_keys
from app.web.listeners import CannotListen, Listener, open_listeners, require_api_key

KEYS = read_api_keys(Settings(api_keys=SecretStr("laptop:0123456789abcdef")))
NO_KEYS = ApiKeys()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(opened: ExitStack, host: str) -> list[Listener]:
    try:
        listeners = open_listeners(Settings(host=host, port=0), [])
    except Exception:
        pytest.skip(f"this machine has no {host}")
    for listener in listeners:
        opened.callback(listener.close)
    return listeners


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_loopback_needs_no_key(opened: ExitStack, host: str) -> None:
    require_api_key(listening(opened, host), Settings(), NO_KEYS)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_what_others_reach_is_refused_without_a_key_and_told_what_to_do(
    opened: ExitStack, host: str
) -> None:
    listeners = listening(opened, host)
    with pytest.raises(SettingsInvalid) as refused:
        require_api_key(listeners, Settings(), NO_KEYS)
    for named in (listeners[0].url, "api_keys_file", "allow_unauthenticated"):
        assert named in refused.value.message


def test_a_key_or_the_setting_lets_others_in(opened: ExitStack) -> None:
    listeners = listening(opened, "0.0.0.0")
    require_api_key(listeners, Settings(), KEYS)
    require_api_key(listeners, Settings(allow_unauthenticated=True), NO_KEYS)


def test_a_socket_that_was_handed_over_counts_too(opened: ExitStack) -> None:
    inherited = socket.create_server(("0.0.0.0", 0))
    listeners = open_listeners(Settings(), [HandedFd(inherited.detach(), "http")])
    for listener in listeners:
        opened.callback(listener.close)
    with pytest.raises(SettingsInvalid):
        require_api_key(listeners, Settings(), NO_KEYS)


def test_a_unix_socket_is_local(opened: ExitStack) -> None:
    made = socket.socket(socket.AF_UNIX)
    made.bind("")  # the kernel chooses an abstract name
    made.listen()
    listeners = open_listeners(Settings(), [HandedFd(made.detach(), "http")])
    for listener in listeners:
        opened.callback(listener.close)
    require_api_key(listeners, Settings(), NO_KEYS)


# ---------------------------------------------------------------- several addresses


V6, V4 = (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")
OTHER_V4 = (socket.AF_INET, "127.0.0.2")
NOT_HERE = (socket.AF_INET, "192.0.2.1")  # an address for documentation: no machine has it


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets every name mean these addresses."""

    def to(*addresses: tuple[socket.AddressFamily, str]) -> None:
        found = [
            (family, socket.SOCK_STREAM, 6, "", (host, 0, 0, 0)[: 2 if "." in host else 4])
            for family, host in addresses
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return to


def hosts_and_ports(listeners: list[Listener]) -> tuple[list[str], set[int]]:
    names = [listener.socket.getsockname() for listener in listeners]
    return [name[0] for name in names], {name[1] for name in names}


def can_bind(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_name_is_listened_on_at_all_its_addresses_on_one_port(
    opened: ExitStack, resolve: Callable[..., None]
) -> None:
    resolve(V6, V4, V4)
    listeners = listening(opened, "localhost")
    hosts, ports = hosts_and_ports(listeners)
    if "::1" in hosts:  # else this machine has no IPv6
        hosts.remove("::1")
    assert hosts == ["127.0.0.1"]
    assert len(ports) == 1
    for listener in listeners:
        with socket.socket(listener.socket.family) as client:
            client.connect(listener.socket.getsockname())


def test_both_families_of_any_address_do_not_get_into_each_others_way(
    opened: ExitStack, resolve: Callable[..., None]
) -> None:
    resolve((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0"))
    hosts, ports = hosts_and_ports(listening(opened, "any"))
    assert hosts[-1] == "0.0.0.0"
    assert len(ports) == 1


@pytest.mark.parametrize("addresses", [(NOT_HERE, V4), (V4, NOT_HERE)])
def test_an_address_that_the_machine_lacks_is_left_out(
    opened: ExitStack,
    resolve: Callable[..., None],
    addresses: tuple[tuple[socket.AddressFamily, str], ...],
) -> None:
    resolve(*addresses)
    assert hosts_and_ports(listening(opened, "name"))[0] == ["127.0.0.1"]


def test_a_family_that_the_machine_lacks_is_left_out(
    opened: ExitStack, resolve: Callable[..., None]
) -> None:
    resolve((socket.AF_APPLETALK, "::1"), V4)
    assert hosts_and_ports(listening(opened, "name"))[0] == ["127.0.0.1"]


def test_a_machine_that_has_none_of_the_addresses_is_told_so(
    resolve: Callable[..., None],
) -> None:
    resolve(NOT_HERE)
    with pytest.raises(CannotListen, match=r"name:0: .*Cannot assign requested address"):
        open_listeners(Settings(host="name", port=0), [])


def test_one_address_that_is_taken_refuses_all(
    opened: ExitStack, resolve: Callable[..., None], free_port: int
) -> None:
    opened.enter_context(socket.create_server(("127.0.0.2", free_port)))
    resolve(V4, OTHER_V4)
    with pytest.raises(CannotListen, match=f"name:{free_port}: .*already in use"):
        open_listeners(Settings(host="name", port=free_port), [])
    assert can_bind("127.0.0.1", free_port)


def test_a_free_port_is_free_on_all_addresses(
    opened: ExitStack, resolve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(V4, OTHER_V4)
    taken: list[int] = []
    listen_on = listeners_module._listen_on

    def somebody_was_faster(family: Any, address: Any, port: int, *, is_alone: bool) -> Listener:
        if port and not taken:
            taken.append(port)
            opened.enter_context(socket.create_server((address[0], port)))
        return listen_on(family, address, port, is_alone=is_alone)

    monkeypatch.setattr(listeners_module, "_listen_on", somebody_was_faster)
    hosts, ports = hosts_and_ports(listening(opened, "name"))
    assert hosts == ["127.0.0.1", "127.0.0.2"]
    assert len(ports) == 1
    assert ports.isdisjoint(taken)


def test_a_unix_socket_that_cannot_be_had_closes_all_others(
    resolve: Callable[..., None], free_port: int, tmp_path: Path
) -> None:
    resolve(V4, OTHER_V4)
    settings = Settings(host="name", port=free_port, unix_socket=tmp_path / "missing" / "x.sock")
    with pytest.raises(CannotListen):
        open_listeners(settings, [])
    assert can_bind("127.0.0.1", free_port)
    assert can_bind("127.0.0.2", free_port)


def test_another_port_is_listened_on_at_the_same_addresses(opened: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    listeners = open_listeners(Settings(port=0, ollama_port=port), [])
    for listener in listeners:
        opened.callback(listener.close)
    assert len({listener.url for listener in listeners}) == 2
    assert listeners[1].url == f"http://127.0.0.1:{port}"
    require_api_key(listeners, Settings(), NO_KEYS)


def test_another_port_that_is_taken_opens_nothing(opened: ExitStack) -> None:
    taken = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    with pytest.raises(CannotListen):
        open_listeners(Settings(port=0, ollama_port=taken.getsockname()[1]), [])
