"""A model's time begins with its last use, and the last request says how long it is."""

from __future__ import annotations

from app.api.keep_alive import DEFAULT_S, FOREVER, KeepAlive


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_a_model_that_nobody_used_has_the_default_from_now_on() -> None:
    assert KeepAlive(Clock()).expires_s("m.gguf") == 1000.0 + DEFAULT_S


def test_the_last_request_counts_for_its_model_only() -> None:
    clock = Clock()
    keep_alive = KeepAlive(clock)
    keep_alive.note("m.gguf", 60.0)
    keep_alive.note("m.gguf", 30.0)
    keep_alive.note("other.gguf", 5.0)
    clock.s = 1010.0
    assert keep_alive.expires_s("m.gguf") == 1030.0
    keep_alive.note("m.gguf")
    assert keep_alive.expires_s("m.gguf") == 1010.0 + DEFAULT_S


def test_a_negative_time_is_for_ever_and_none_is_over() -> None:
    keep_alive = KeepAlive(Clock())
    keep_alive.note("m.gguf", -1)
    assert keep_alive.expires_s("m.gguf") == FOREVER
    keep_alive.note("m.gguf", 0)
    assert keep_alive.expires_s("m.gguf") == 1000.0
