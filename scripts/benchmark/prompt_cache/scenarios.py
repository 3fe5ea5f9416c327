"""Owns the list of scenarios of the cache benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmark.prompt_cache import counted, loaded, stored
from scripts.benchmark.prompt_cache.bench import Bench
from scripts.benchmark.prompt_cache.rows import Row


@dataclass(frozen=True)
class Scenario:
    """Something that is measured for each shape.

    Attributes:
        text: what, in a few words.
        measure: takes the figures of a shape; raises `BenchFailed` where it cannot.
    """

    text: str
    measure: Callable[[Bench, str], list[Row]]


SCENARIOS = {
    "tools": Scenario("ten requests with tool calls", counted.tools),
    "turns": Scenario("later turns, new conversations, edits", counted.turns),
    "cut": Scenario("turns after answers that a limit ended", counted.cut),
    "two": Scenario("two conversations in turn", counted.two),
    "eight": Scenario("eight conversations in turn", counted.eight),
    "parallel": Scenario("four clients with the same new head at once", counted.parallel),
    "restart": Scenario("after kill -9 and a start, 600 and 4,000 tokens", stored.restart),
    "restart8": Scenario("the same with eight conversations on disk", stored.restart_eight),
    "switch": Scenario("after a model switch there and back", stored.switch),
    "writes": Scenario("bytes written in six turns", stored.writes),
    "gap": Scenario("pauses of a stream while 4,000 tokens are written or read", loaded.gap),
    "cancelled": Scenario("a prefill left at 55 % and asked for again", loaded.cancelled),
    "memory": Scenario("memory of 32k tokens in Gemma-3-1B's shape", loaded.memory),
}
