"""Requests that real clients sent, headers and bodies, are answered without an error.

They lie outside of this repository; where they are absent, all of this is skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.recorded import FOLDER, Recorded, errors_in, recorded
from tests.clients.roster import MISSING
from tests.clients.wide_model import N_CTX, write_wide_model
from tests.live.server import LiveServer

pytestmark = pytest.mark.timeout(300)
REQUESTS = recorded()
MOST_TOKENS = 8


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose window holds an agent's prompt, with the models that the requests name."""
    if not REQUESTS:
        pytest.skip(f"{FOLDER} is absent")
    folder: Path = tmp_path_factory.mktemp("models")
    first = write_wide_model(folder / "m1.gguf")
    shutil.copy(first, folder / "m2.gguf")
    with LiveServer(
        *("--models-dir", str(folder), "--model-name", "m1.gguf", "--n-ctx", str(N_CTX)),
        *("--unknown-model", "default", "--max-tokens-limit", str(MOST_TOKENS)),
    ) as server:
        server.http.timeout = 280.0
        yield server.wait_healthy()


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_it_is_answered(wide: LiveServer, request_: Recorded) -> None:
    if request_.dialect in MISSING:
        pytest.skip(f"the server does not speak {request_.dialect} yet")
    answer = wide.http.request(
        request_.method, request_.target, headers=request_.headers, content=request_.content
    )
    if request_.refusal is not None:
        status, reason = request_.refusal
        assert answer.status_code == status, reason
        return
    assert answer.status_code < 400, answer.text
    assert not list(errors_in(answer.text))
