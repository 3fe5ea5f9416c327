"""Fixtures of the tests of clients: a server, and what each program told of it."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell, Told, run_program
from tests.clients.roster import MISSING
from tests.live.server import NANO, LiveServer


@pytest.fixture(scope="session")
def tell(server: LiveServer) -> Tell:
    """Return what a program told of a dialect; each program runs once."""
    told: dict[str, Told] = {}

    def of(program: str, dialect: str) -> Told:
        if dialect in MISSING:
            pytest.skip(f"the server does not speak {dialect} yet")
        if program not in told:
            told[program] = run_program(program, server.url, NANO)
        return told[program]

    return of
