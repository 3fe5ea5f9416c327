"""Owns matching stop strings in a text that arrives in pieces; must not know tokens or requests.

Text that may turn out to be the beginning of a stop string is held back.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Cuts a text at the first stop string, however the text arrives.

    Args:
        stops: the stop strings, none empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self.found is not None

    def feed(self, text: str) -> str:
        """Return the text that is safe to show; sets `found` when a stop string came."""
        if self.found is not None:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        self._held = ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:  # the one that ends first, as if the text had come character by character
            end, start = min(found)
            self.found = text[start:end]
            return text[:start]
        held = max(_overlap(text, stop) for stop in self._stops)
        if held:
            self._held = text[-held:]
            return text[:-held]
        return text

    def finish(self) -> str:
        """Return the text that was held back and turned out to be none."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
