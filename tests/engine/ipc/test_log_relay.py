"""llama.cpp's lines reach the log with their level and the requests that were worked on."""

from __future__ import annotations

from typing import cast

import pytest

from app.engine.ipc.channel import Channel
from app.engine.ipc.log_relay import LogRelay
from app.protocol import LogLine


class Posted(list[LogLine]):
    """A channel that keeps what is posted."""

    post = list.append


@pytest.mark.parametrize(
    ("verbose", "level", "text", "is_told"),
    [
        (False, "info", "load: printing all EOG tokens", False),
        (False, "warning", "n_ctx_seq is smaller than trained", True),
        (False, "error", "decode: failed to find a memory slot for batch", False),
        (True, "debug", "anything", True),
    ],
)
def test_trouble_is_told_and_all_else_on_request(
    verbose: bool, level: str, text: str, is_told: bool
) -> None:
    posted = Posted()
    LogRelay(cast(Channel, posted), verbose=verbose).take(level, text)
    assert posted == [LogLine(level=level, source="llama.cpp", text=text)] * is_told


def test_a_line_names_the_running_requests() -> None:
    posted = Posted()
    relay = LogRelay(cast(Channel, posted), verbose=False, request_ids=lambda: ["a", "b"])
    relay.take("warning", "x")
    assert posted[0].request_ids == ["a", "b"]
