"""What other machines can reach needs a key, unless the settings say otherwise."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pydantic import SecretStr

from app.config.settings import Settings
from app.errors import SettingsInvalid
from app.systemd.notify import HandedFd
from app.web.api_keys import ApiKeys, read_api_keys
from app.web.listeners import Listener, open_listeners, require_api_key

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
