"""The server under test ends as a power cut ends it, and what it had saved is there afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.benchmark.chat import ask_under, prompt_counts
from scripts.benchmark.processes import is_running
from scripts.benchmark.server import ServerUnderTest
from tests.live.server import MODELS, NANO

SYSTEM = " ".join(f"Rule {number}: be polite to guest number {number}." for number in range(24))


def test_killed_processes_are_gone_and_saved_prompts_are_not(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"cache_dir": str(tmp_path), "n_threads": 1}
    body = {"messages": [{"role": "system", "content": SYSTEM}]}
    with ServerUnderTest(MODELS / NANO, settings) as server:
        assert server.client.post("/restore_cache", body)["saved"]
        pids = server.pids()
        assert len(pids) == 2
        server.kill()
        assert not any(map(is_running, pids))
    with ServerUnderTest(MODELS / NANO, settings) as server:
        answer = ask_under(server.client, SYSTEM, "Who are you?", 4)
    assert answer.tier == "disk"
    assert prompt_counts(answer).endswith(f"({answer.n_cached} cached, disk)")
