"""Owns answers that show what the prompt holds of them, as of thoughts that stay in the text.

Pure; must not know tool formats.
"""

from __future__ import annotations

from app.chat.parsing.incremental import Step
from app.chat.parsing.reasoning import ReasoningParser, ReasoningTags
from app.chat.parsing.stream_parser import StreamEvent, StreamParser, TextPiece


class ShownReasoningParser(ReasoningParser):
    """Parses an answer that may begin with thoughts, and passes them on as text with their tags.

    The opening tag is shown too where the prompt has it, unless an answer without any thoughts
    does not close them. See `ReasoningParser`.

    Args:
        inner: parses the answer proper.
        tags: what stands around the thoughts.
        opened: the end of the prompt, from the opening tag on; "" where that opens none. A tag
            that is written again, as some models do, stands in its place.
        goes_on: the prompt ended in the midst of the thoughts.
    """

    def __init__(
        self, inner: StreamParser, tags: ReasoningTags, *, opened: str = "", goes_on: bool = False
    ) -> None:
        self._opened = opened
        self._before = ""  # the opening tag, until a thought follows
        super().__init__(inner, tags, is_open=bool(opened), goes_on=goes_on)

    def _run(self) -> Step[None]:
        self._may_close = False
        self._input.record("")
        if not self._goes_on:
            yield from self._input.skip()
        is_repeated = not self._goes_on and (yield from self._input.literal(self._tags.opening))
        begun = self._input.forget()
        if not (self._opened or is_repeated):
            self._pass_on(begun)
        else:
            self._in_reasoning = True
            self._before = begun if is_repeated else self._opened
            if not is_repeated:
                self._think(begun)
            closing = yield from self._thoughts()
            if closing or not self._before:
                self._show(self._before + "".join(self._space) + closing)
            self._in_reasoning = False
        yield from self._answer()

    def _think(self, text: str) -> None:
        self._remember(text)
        shown = text.rstrip()
        if shown:
            self._show(self._before + "".join(self._space) + shown)
            self._before, self._space = "", []
        self._space.append(text[len(shown) :])

    def _show(self, text: str) -> None:
        if text:
            self._events.append(TextPiece(text))


class BegunParser:
    """Parses an answer of which the prompt holds the beginning.

    Args:
        inner: parses the answer.
        begun: the beginning.
    """

    def __init__(self, inner: StreamParser, begun: str) -> None:
        self._inner = inner
        self._events = inner.feed(begun)

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        events, self._events = self._events, []
        return [*events, *self._inner.feed(text)]

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back."""
        return [*self._events, *self._inner.finish(cut=cut)]
