"""Owns comparing each prompt with the latest ones, and reporting the heads that keep changing.

The head of a prompt is its instructions and tools. Words of prompts are in the reports, which
clients see, and never in log lines or in `ChangingHead.message`.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.base.prefix import common_prefix
from app.engine.changing_heads.family import Change, HeadFamily
from app.engine.changing_heads.report import report_of
from app.engine.changing_heads.spans import Span, changed_spans, common_suffix
from app.engine.changing_heads.value_kind import ValueKind, kind_of_change, whole_words
from app.protocol import ChangingHead, LogLine

MIN_TOKENS = 64  # prefilled again; fewer are not worth a word
_SAME_SHARE = 2 / 3  # of heads that are the same but for some places
_MAX_PROMPTS = 16
_MAX_BYTES = 1024 * 1024
_SURELY_FOUND = 32  # tokens: a shorter prefix is not looked for in all tiers
_FORGOTTEN = ("empty", "no_match")
_CONTEXT = 16
_MAX_VALUE_TOKENS = 512
_MAX_CHARS = 80


@dataclass(slots=True, eq=False)
class _Seen:
    """A prompt: its head, what follows it, and the heads that its own is like."""

    head: array[int]
    rest: array[int]
    family: HeadFamily

    @property
    def n_bytes(self) -> int:
        return (len(self.head) + len(self.rest)) * self.head.itemsize


class ChangingHeads:
    """The latest prompts, and the heads among them that keep changing.

    Args:
        piece: returns the bytes of a token.
        tokens_per_s: returns how fast prefill is.
        clock: returns seconds.

    Attributes:
        found: the heads that keep changing, the most costly first.
    """

    def __init__(
        self,
        piece: Callable[[int], bytes],
        tokens_per_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._piece = piece
        self._tokens_per_s = tokens_per_s
        self._clock = clock
        self._seen: list[_Seen] = []
        self._told: dict[HeadFamily, ChangingHead] = {}
        self._lines: list[LogLine] = []
        self.found: list[ChangingHead] = []

    @property
    def n_bytes(self) -> int:
        """Memory that the kept tokens take."""
        return sum(seen.n_bytes for seen in self._seen)

    def note(
        self,
        request_id: str,
        tokens: Sequence[int],
        *,
        n_system: int,
        n_cached: int,
        miss: str = "",
    ) -> None:
        """Compare a prompt with the latest ones.

        Args:
            request_id: of the request, for the log.
            tokens: the prompt.
            n_system: how many are its instructions and tools; where it has none, all of it is
                compared.
            n_cached: how many the prompt cache had.
            miss: why it had none, as `Hit.miss` says it.
        """
        n_head = n_system or len(tokens)
        head, rest = array("i", tokens[:n_head]), array("i", tokens[n_head:])
        family = self._family(head, rest, n_cached, miss) or HeadFamily(bool(n_system))
        self._keep(_Seen(head, rest, family))
        self._report(request_id)

    def forget(self) -> None:
        """Forget the prompts, and with them what was found."""
        self._seen.clear()
        self._told.clear()
        self.found = []

    def take_log_lines(self) -> list[LogLine]:
        """Return the log lines since the last time."""
        lines, self._lines = self._lines, []
        return lines

    # ------------------------------------------------------------ compare

    def _family(
        self, head: array[int], rest: array[int], n_cached: int, miss: str
    ) -> HeadFamily | None:
        """Return the heads that one is like, told of it; None where it is like none."""
        seen = self._closest(head)
        if seen is None:
            return None
        family = seen.family
        if seen.head == head:
            latest = next(other for other in self._seen if other.family is family)
            if latest is seen:
                family.unchanged()
            else:
                family.returned()
            return family
        spans = changed_spans(seen.head, head)
        n_same = len(head) - sum(span.end - span.start for span in spans)
        if n_same < max(MIN_TOKENS, _SAME_SHARE * max(len(seen.head), len(head))):
            return None
        if not n_cached and miss in _FORGOTTEN and spans[0].start >= _SURELY_FOUND:
            return family  # not over the change: the one before is not cached any more
        lost = [span for span in spans if span.end >= n_cached]
        n_again = self._n_again(lost, head, rest, n_cached, family)
        if n_again < MIN_TOKENS:
            family.unchanged()
        else:
            family.changed(self._change(lost, seen.head, head, n_again))
        return family

    def _closest(self, head: array[int]) -> _Seen | None:
        """Return the kept prompt whose head is this one, else has the most in common with it."""
        best, n_best = None, 0
        for seen in self._seen:
            if seen.head == head:
                return seen
            n_same = common_prefix(seen.head, head) + common_suffix(seen.head, head)
            if n_same > n_best:
                best, n_best = seen, n_same
        return best

    def _n_again(
        self,
        lost: Sequence[Span],
        head: array[int],
        rest: array[int],
        n_cached: int,
        family: HeadFamily,
    ) -> int:
        """Return the tokens that are prefilled although nothing but what precedes them is new."""
        if not lost:
            return 0
        n_left = len(head) - max(n_cached, lost[0].start)
        n_new = sum(span.end - max(n_cached, span.start) for span in lost)
        others = (seen.rest for seen in self._seen if seen.family is family)
        return n_left - n_new + max(common_prefix(other, rest) for other in others)

    def _change(
        self, spans: Sequence[Span], old: array[int], new: array[int], n_again: int
    ) -> Change:
        first = spans[0]
        context = self._text(new, first.start - _CONTEXT, first.start)
        after = self._text(new, first.end, first.end + _CONTEXT)
        old_text = self._text(old, first.old_start, first.old_end)
        _, old_value = whole_words(context, old_text, after)
        left, value = whole_words(context, self._text(new, first.start, first.end), after)
        before = context.removesuffix(left).rstrip()
        n_tokens = max(first.end - first.start, first.old_end - first.old_start)
        kind: ValueKind = "text"
        if n_tokens <= _MAX_VALUE_TOKENS:
            kind = kind_of_change(old_value, value, before=before, after=after)
        return Change(
            at_s=self._clock(),
            start=self._begin(new, first.start, left),
            n_behind=len(new) - first.end,
            n_places=len(spans),
            n_again=n_again,
            kind=kind,
            before=before[-_MAX_CHARS:],
            value=value if len(value) <= _MAX_CHARS else value[:_MAX_CHARS] + "\u2026",
        )

    def _begin(self, tokens: array[int], start: int, left: str) -> int:
        """Return the first of the tokens up to `start` that hold the text before it."""
        n_bytes = len(left.encode())
        while n_bytes > 0 and start > 0:
            start -= 1
            n_bytes -= len(self._piece(tokens[start]))
        return start

    def _text(self, tokens: array[int], start: int, end: int) -> str:
        shown = tokens[max(0, start) : min(end, start + _MAX_VALUE_TOKENS)]
        return b"".join(map(self._piece, shown)).decode("utf-8", "replace")

    # ------------------------------------------------------------ keep and report

    def _keep(self, seen: _Seen) -> None:
        """Keep a prompt as the latest one, in place of one with the same head."""
        kept = [other for other in self._seen if other.head != seen.head]
        self._seen = [seen, *kept][:_MAX_PROMPTS]
        while self.n_bytes > _MAX_BYTES:
            self._seen.pop()

    def _report(self, request_id: str) -> None:
        """Find what is to be told now; log what is new and what has ended."""
        now_s = self._clock()
        told: dict[HeadFamily, ChangingHead] = {}
        for seen in self._seen:
            family = seen.family
            if family not in told and (changes := family.telling(now_s)):
                told[family] = report_of(
                    changes, len(seen.head), self._tokens_per_s(), has_system=family.has_system
                )
                if family not in self._told and family.may_log(now_s):
                    self._log("warning", told[family].message, request_id)
        for family, ended in self._told.items():
            if family not in told:
                text = f"The prompts no longer change at token {ended.index} all the time."
                self._log("info", text, request_id)
        self._told = told
        self.found = sorted(told.values(), key=lambda report: report.tokens, reverse=True)

    def _log(self, level: str, text: str, request_id: str) -> None:
        request_ids = [request_id] if request_id else []
        line = LogLine(level=level, source="prompt cache", text=text, request_ids=request_ids)
        self._lines.append(line)
