"""The fake engine answers through the real server, so that our own cost can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmark.chat import ask
from scripts.benchmark.plan import Plan
from tests.live.server import MODELS, NANO


@pytest.mark.parametrize("step_ms", [0.0, 1.0])
def test_the_fake_engine_answers_with_as_many_tokens_as_asked_for(step_ms: float) -> None:
    plan = Plan(
        model=None, small_model=MODELS / NANO, n_threads=1, n_ctx=512, n_repeats=1, n_tokens=8
    )
    with plan.fake_server(step_ms) as server:
        _, engine_pid = server.pids()
        command = Path(f"/proc/{engine_pid}/cmdline").read_bytes()
        assert b"scripts.benchmark.fake_engine" in command
        answer = ask(server.client, "Is the lamp on?", 100)
    assert answer.n_tokens == 100
    assert len(answer.text_times_s) > 1
