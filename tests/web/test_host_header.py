"""Which Host headers are names of this server."""

from __future__ import annotations

import pytest

from app.web.host_header import is_own_name, name_in

HERE = "127.0.0.1"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("localhost.:8000", "localhost"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("a.b-c.example:", "a.b-c.example"),
    ],
)
def test_the_name_is_taken_out_of_the_header(header: str, name: str) -> None:
    assert name_in(header) == name


@pytest.mark.parametrize(
    "header",
    ["", ":8000", "::1", "[::1", "a b", "a@127.0.0.1", "a/b", "localhost:80:80", "localhost:x"],
)
def test_what_is_no_host_has_no_name(header: str) -> None:
    assert name_in(header) is None


@pytest.mark.parametrize("name", ["localhost", "app.localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_is_always_our_own(name: str) -> None:
    assert is_own_name(name, "192.168.1.10", frozenset())


@pytest.mark.parametrize("mapped", ["::ffff:127.0.0.1", "::ffff:7f00:1"])
def test_an_address_of_version_4_may_be_written_as_6(mapped: str) -> None:
    assert is_own_name(mapped, HERE, frozenset())


@pytest.mark.parametrize(
    ("name", "reached_at"),
    [
        ("192.168.1.10", "192.168.1.10"),
        ("192.168.1.10", "::ffff:192.168.1.10"),
        ("fe80::1", "fe80::1%eth0"),
    ],
)
def test_the_address_of_the_connection_is_our_own(name: str, reached_at: str) -> None:
    assert is_own_name(name, reached_at, frozenset())


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "192.168.1.11",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "127.0.0.1%.evil.example",
    ],
)
def test_other_names_and_addresses_are_not(name: str) -> None:
    assert not is_own_name(name, HERE, frozenset())


def test_names_can_be_added() -> None:
    assert is_own_name("box.lan", HERE, frozenset({"box.lan"}))
    assert not is_own_name("a.box.lan", HERE, frozenset({"box.lan"}))
