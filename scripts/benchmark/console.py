"""Owns how the benchmark speaks to people while it works, and how it gives up."""

from __future__ import annotations

import sys


class BenchFailed(Exception):
    """A measurement or its preparation cannot go on.

    Args:
        sentence: why, in one sentence.
        details: lines that help to find the cause, such as the end of a log.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


def say_failure(prefix: str, error: BenchFailed) -> None:
    """Print why something failed, with its details."""
    say(f"{prefix}: {error}")
    for line in error.details.splitlines():
        say(f"  {line}")


def say(text: str) -> None:
    """Print a line of progress on stderr; stdout belongs to the results."""
    print(text, file=sys.stderr, flush=True)
