"""SIGHUP: settings that can change do, the rest is told, and nothing ends the service."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.server import MODELS, NANO, LiveServer
from tests.systemd.fake_systemd import FakeSystemd


class Configured:
    """A server with a configuration file of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.toml"
        self.file.write_text("max_tokens = 3\n")
        self.systemd = FakeSystemd(folder / "notify")
        options = ("--config", str(self.file), "--top-k", "40")
        self.live = LiveServer(*options, environment=self.systemd.environment).wait_healthy()

    def reload(self, text: str, event: str = "reloaded") -> None:
        """Write the file and have it read; waits until that is over."""
        before = len(self.live.log(event))
        self.file.write_text(text)
        self.live.process.send_signal(signal.SIGHUP)
        self.live.wait_until(lambda: len(self.live.log(event)) > before)

    def answer_tokens(self) -> int:
        answer = self.live.chat("Tell me a story.")
        n_tokens: int = answer["usage"]["completion_tokens"]
        return n_tokens

    def drawn(self, **fields: int) -> str:
        """Return an answer that chance decides."""
        wild = {"temperature": 3.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": 20}
        answer = self.live.chat("Tell me a story.", **wild, **fields)
        text: str = answer["choices"][0]["message"]["content"]
        return text

    def load(self, **parameters: int) -> None:
        body = {"model_name": NANO, "load_model_configs": parameters}
        assert self.live.http.post("/setModel", json=body).status_code == 200

    def changed(self) -> dict[str, tuple[str, str, str]]:
        return {
            line["setting"]: (line["before"], line["after"], line["takes_effect"])
            for line in self.live.log("setting_changed")
        }


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Configured]:
    made = Configured(tmp_path)
    with made.systemd, made.live:
        yield made


def test_what_can_change_does_and_a_line_each_says_so(configured: Configured) -> None:
    assert configured.answer_tokens() == 3
    configured.reload("max_tokens = 5\nn_ctx = 512\nmax_body_bytes = 2048\nport = 1\n")
    assert configured.answer_tokens() == 5
    # the port comes from the command line, which wins over the file before and after
    assert configured.changed() == {
        "max_tokens": ("3", "5", "now"),
        "n_ctx": ("4096", "512", "next load"),
        "max_body_bytes": ("8388608", "2048", "now"),
    }
    with httpx.Client(base_url=configured.live.url) as client:
        assert client.post("/tokenize", json={"content": "x" * 3000}).status_code == 413
    configured.live.http.post(
        "/setModel", json={"model_name": NANO, "load_model_configs": {"n_ctx": 768}}
    )
    configured.live.http.post("/setModel", json={"model_name": NANO})
    assert configured.live.health["engine"]["n_ctx"] == 512


def test_a_seed_counts_at_once_whether_or_not_there_was_one(configured: Configured) -> None:
    seven, eight = configured.drawn(seed=7), configured.drawn(seed=8)
    assert len({seven, eight, configured.drawn(), configured.drawn()}) == 4
    configured.reload("seed = 7\n")
    assert configured.changed()["seed"] == ('"auto"', "7", "now")
    assert configured.drawn() == seven
    configured.load(n_ctx=512)  # what it was at a load does not outlive the next change
    assert configured.drawn() == seven
    configured.reload("seed = 8\n")
    assert configured.drawn() == eight
    configured.reload("")
    assert configured.drawn() != configured.drawn()


def test_the_seed_of_the_load_that_serves_wins_over_the_setting(configured: Configured) -> None:
    seven, eight = configured.drawn(seed=7), configured.drawn(seed=8)
    configured.load(seed=7)
    assert configured.drawn() == seven
    configured.reload("seed = 8\n")
    assert configured.drawn() == seven
    assert configured.drawn(seed=8) == eight
    configured.load()
    assert configured.drawn() == eight


def test_what_needs_a_new_start_is_named_as_long_as_it_waits(configured: Configured) -> None:
    for _ in range(2):
        configured.reload('max_tokens = 3\nunix_socket = "elsewhere"\n')
    lines = configured.live.log("setting_changed")
    assert [(line["setting"], line["takes_effect"]) for line in lines] == [
        ("unix_socket", "next start")
    ] * 2
    assert {line["level"] for line in lines} == {"warning"}


def test_the_log_level_changes_for_loggers_that_were_used(configured: Configured) -> None:
    configured.reload('log_level = "debug"\nmax_tokens = 3\n')
    configured.live.http.get("/health")
    assert configured.live.wait_for_log("request", path="/health", level="debug")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_tokens = 0\n", "max_tokens"),
        ("max_tokns = 5\n", "max_tokns"),
        ("max_tokens = \n", "config.toml"),
        ('[[profiles]]\nname = "x"\nmessages_file = "missing.json"\n', "profiles[0].messages_file"),
    ],
)
def test_a_wrong_configuration_changes_nothing_and_is_named(
    configured: Configured, text: str, named: str
) -> None:
    configured.reload(text, event="reload_failed")
    (line,) = configured.live.log("reload_failed")
    assert named in line["error"]
    assert configured.answer_tokens() == 3
    configured.reload("max_tokens = 4\n")
    assert configured.answer_tokens() == 4


def test_a_configuration_file_that_is_gone_changes_nothing(configured: Configured) -> None:
    configured.file.unlink()
    configured.live.process.send_signal(signal.SIGHUP)
    assert "no such file" in configured.live.wait_for_log("reload_failed")["error"]
    assert configured.answer_tokens() == 3


def test_systemd_hears_of_the_reload_and_of_its_end(configured: Configured) -> None:
    configured.systemd.wait_for_key("READY")
    configured.reload("max_tokens = 0\n", event="reload_failed")
    configured.systemd.wait_for(lambda message: message.get("RELOADING") == "1")
    configured.live.wait_until(lambda: len(configured.systemd.times_of("READY")) == 2)
    (at,) = (i for i, message in enumerate(configured.systemd.messages) if "RELOADING" in message)
    assert int(configured.systemd.messages[at]["MONOTONIC_USEC"]) > 0
    assert any("READY" in message for message in configured.systemd.messages[at:])


def test_a_model_that_was_added_is_loaded_where_none_serves(tmp_path: Path) -> None:
    with LiveServer("--models-dir", str(tmp_path)) as live:
        assert live.health["status"] == "no_model"
        shutil.copy(MODELS / NANO, tmp_path)
        live.process.send_signal(signal.SIGHUP)
        live.wait_healthy()
