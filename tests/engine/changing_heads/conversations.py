"""Owns clients that send prompts to a watch beside a cache of whole prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.base.prefix import common_prefix
from app.engine.changing_heads import ChangingHeads
from app.protocol import ChangingHead

RULES = """You help with the house and speak in short and friendly sentences. Use the tools to turn
devices on or off and to read sensors; never invent a device that is not in the list. If a request
is not clear, ask which room is meant. Repeat what you did in one sentence. Answer in the language
of the question, write numbers in digits and do not use lists, tables or other marks of any kind.
If the question is not about the house, answer from what you know, as well as you can, in a few
words; say so if you do not know it."""
_TOKEN = re.compile(r"\s?[^\W\d]+|\s?\d{1,2}|\s|.", re.DOTALL)


class House:
    """A watch, the prompts that were sent to it, and a cache that holds the last of them.

    Args:
        n_kept: prompts that the cache holds.
    """

    def __init__(self, n_kept: int = 1000) -> None:
        self._words: dict[str, int] = {}
        self._texts: list[str] = []
        self._n_kept = n_kept
        self._cached: list[list[int]] = []
        self._n_requests = 0
        self.now_s = 1000.0
        self.watch = ChangingHeads(
            lambda token: (self._texts or ["?"])[token % (len(self._texts) or 1)].encode(),
            lambda: 50.0,
            lambda: self.now_s,
        )
        self.lines: list[tuple[str, str]] = []

    def tokens(self, text: str) -> list[int]:
        found = []
        for part in _TOKEN.findall(text):
            if part not in self._words:
                self._words[part] = len(self._texts)
                self._texts.append(part)
            found.append(self._words[part])
        return found

    def ask(self, system: str, *turns: str) -> list[ChangingHead]:
        """Send a prompt; return what the watch has found since."""
        head = self.tokens(f"<system>{system}</system>") if system else []
        prompt = head + self.tokens("".join(f"<turn>{turn}</turn>" for turn in turns or ("Hi!",)))
        shared = (common_prefix(other, prompt) for other in self._cached)
        n_cached = max(shared, default=0)
        n_cached = n_cached if n_cached >= 16 else 0
        self._n_requests += 1
        self.now_s += 60.0
        self.watch.note(
            f"r{self._n_requests}",
            prompt,
            n_system=len(head),
            n_cached=min(n_cached, len(prompt) - 1),
            miss="" if n_cached else ("no_match" if self._cached else "empty"),
        )
        self._cached = [prompt, *self._cached][: self._n_kept]
        self.lines += [(line.level, line.text) for line in self.watch.take_log_lines()]
        return self.watch.found

    def ask_all(self, systems: Iterable[str]) -> list[ChangingHead]:
        for system in systems:
            self.ask(system)
        return self.watch.found
