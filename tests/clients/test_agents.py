"""Coding agents complete a task with one tool call: they run as their users run them, the engine is
the real one, and the model says a script. `scripts/test-clients` runs it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripted_model import write_scripted_model
from tests.clients.wide_model import N_CTX
from tests.live.server import LiveServer

pytestmark = pytest.mark.timeout(600)
TASK = "Make the file made.txt."
COMMAND = "echo made by a tool > made.txt"
LAST = "The file is made."
MODEL = "scripted.gguf"
RUN_S = 400
CODEX_SETTINGS = """\
model = "scripted"
model_provider = "distiller"
check_for_update_on_startup = false

[model_providers.distiller]
name = "Distiller LLM"
base_url = "{url}/v1"
wire_api = "responses"

[analytics]
enabled = false
"""


def program(pattern: str) -> Path:
    """Return the program of an agent in the folder that `scripts/test-clients` keeps them in."""
    folder = os.environ.get("DISTILLER_TEST_AGENTS")
    if not folder:
        pytest.skip("scripts/test-clients sets DISTILLER_TEST_AGENTS, the coding agents")
    return next(Path(folder, "node_modules").glob(pattern))


def serve(folder: Path, tool: str) -> LiveServer:
    """Return a server whose model calls this tool and then says that it did."""
    folder.mkdir()
    write_scripted_model(folder / MODEL, tool, COMMAND, LAST)
    return LiveServer("--models-dir", str(folder), "--n-ctx", str(N_CTX)).wait_healthy()


def run(command: list[str], home: Path, variables: Mapping[str, str]) -> str:
    """Run an agent in a new folder `work` of its home and return what it says."""
    (home / "work").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*", **variables}
    done = subprocess.run(
        command,
        cwd=home / "work",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_requests(server: LiveServer, path: str) -> None:
    """Assert that the agent asked twice, and that only what is new was prefilled again."""
    lines: list[dict[str, Any]] = [
        line for line in server.log("request") if line["path"] == path and "finish_reason" in line
    ]
    first, second = lines[-2:]
    assert [first["finish_reason"], second["finish_reason"]] == ["tool_calls", "stop"]
    assert second["cached_tokens"] > 0.95 * first["prompt_tokens"]


def test_claude_code_makes_a_file(tmp_path: Path) -> None:
    claude = program("@anthropic-ai/claude-code-linux-*/claude")
    with serve(tmp_path / "models", "Bash") as server:
        said = run(
            [str(claude), "-p", TASK, "--allowedTools", "Bash"],
            tmp_path,
            {
                "ANTHROPIC_BASE_URL": server.url,
                "ANTHROPIC_AUTH_TOKEN": "any",
                "ANTHROPIC_MODEL": "scripted",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
            },
        )
        check_requests(server, "/v1/messages")
    assert said.strip() == LAST
    assert (tmp_path / "work" / "made.txt").read_text() == "made by a tool\n"


def test_codex_makes_a_file(tmp_path: Path) -> None:
    codex = program("@openai/codex-linux-*/vendor/*/bin/codex")
    settings = tmp_path / "codex"
    settings.mkdir()
    with serve(tmp_path / "models", "exec_command") as server:
        (settings / "config.toml").write_text(CODEX_SETTINGS.format(url=server.url))
        said = run(
            [
                *(str(codex), "exec", "--skip-git-repo-check"),
                *("--dangerously-bypass-approvals-and-sandbox", TASK),
            ],
            tmp_path,
            {"CODEX_HOME": str(settings)},
        )
        check_requests(server, "/v1/responses")
    assert said.strip() == LAST
    assert (tmp_path / "work" / "made.txt").read_text() == "made by a tool\n"
