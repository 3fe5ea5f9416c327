"""Tables of clients in the settings, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.loading import load, refusal, write


def test_a_client_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    text = '[[clients]]\nname = "kitchen"\nmax_tokens_limit = 512\n[[clients]]\nname = "laptop"\n'
    clients = load(config=write(tmp_path / "c.toml", text)).clients
    found = [(client.name, client.max_tokens_limit) for client in clients]
    assert found == [("kitchen", 512), ("laptop", None)]


@pytest.mark.parametrize(
    ("clients", "problem"),
    [
        ('{"max_tokens_limit":1}', "[0].name is missing"),
        ('{"name":"a b"}', "[0].name must be the name of an API key: 1 to 64 of the"),
        ('{"name":"a","max_tokens_limit":0}', "[0].max_tokens_limit must be a whole number from 1"),
        ('{"name":"a","max_tokens_limit":-1}', "[0].max_tokens_limit must be a whole number"),
        ('{"name":"a","max_tokens_limit":true}', "[0].max_tokens_limit must be a whole number"),
        ('{"name":"a","max_tokens_limit":1.0}', "[0].max_tokens_limit must be a whole number"),
        ('{"name":"a","max_tokens":1}', "[0].max_tokens is no part of a client"),
        ('{"name":"a"},{"name":"a"}', "[1].name is the name of another client too"),
    ],
)
def test_a_wrong_table_is_reported_with_the_field_at_fault(clients: str, problem: str) -> None:
    (line,) = refusal({"clients": f"[{clients}]"})
    assert line.startswith(f"clients{problem}")
    assert line.endswith(" (command line --clients)")


def test_clients_that_are_no_list_are_reported() -> None:
    (line,) = refusal({"clients": '{"name":"a"}'})
    assert line.endswith("(command line --clients): must be a list of tables")
