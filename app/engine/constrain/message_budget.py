"""Owns ending thoughts that are messages of an answer once they have had enough tokens.

What the answer is held to besides is followed by a guide, which gets every token that is written
here through `step`. Must not know formats.
"""

from __future__ import annotations

from collections.abc import Callable

from app.engine.constrain.plan import AnswerMatcher, GuidedTokens, GuidePlan, MessageThinking

Step = Callable[[int], GuidedTokens]
"""Takes a token as one that comes next in the answer, and returns what it leads to."""


class MessageBudget:
    """Counts the thoughts of one answer.

    Args:
        plan: what was made for the request.
        messages: how its messages of thoughts are told, and how many tokens they may have.

    Attributes:
        heads: what the next message may begin with, until it has begun; mostly None.
    """

    def __init__(self, plan: GuidePlan, messages: MessageThinking) -> None:
        self._plan = plan
        self._messages = messages
        self._left = messages.budget
        self._is_thinking = messages.is_open
        self._tail = b""  # what may be the beginning of a tag
        self.heads: AnswerMatcher | None = None

    def begin(self, begun: GuidedTokens, step: Step) -> GuidedTokens:
        """Return what has to come first: what has `begun` the answer, and the end of thoughts."""
        if begun.is_over:
            return begun
        if self._left == 0 and not self._is_thinking and self._plan.whole is None:
            return self._begin_message(step)
        return self._followed(begun, step)

    def end(self, step: Step) -> GuidedTokens:
        """Return what ends a message of thoughts here; later ones have no tokens."""
        self._left = 0
        return self._followed(GuidedTokens(), step)

    def take(self, token: int, step: Step) -> GuidedTokens:
        """Record a sampled token; return the tokens to append."""
        if self.heads is None:
            return self._followed(step(token), step)
        self.heads.take(token)
        taken = step(token)
        if self._plan.fast_forward:
            taken = _all_of(taken, self.heads.take_forced(), step)
        if self.heads.is_over:
            self.heads = None
        return taken

    def _followed(self, taken: GuidedTokens, step: Step) -> GuidedTokens:
        """Read what was written; end thoughts that are too long by then."""
        for token in taken.tokens:
            self._read(self._plan.piece(token))
        closing = self._messages.closing
        has_begun = any(self._tail.endswith(closing[:n]) for n in range(1, len(closing)))
        if taken.is_over or not self._is_thinking or self._left > 0 or has_begun:
            return taken
        return self._end_thoughts(taken, step)

    def _read(self, piece: bytes) -> None:
        messages = self._messages
        written = self._tail + piece
        tag = messages.closing if self._is_thinking else messages.opening
        at = written.find(tag)
        if self._is_thinking:
            self._left = max(0, self._left - (at < 0))
        if at >= 0:
            self._is_thinking = not self._is_thinking
            written = written[at + len(tag) :]
        self._tail = written[-max(len(messages.opening), len(messages.closing)) :]

    def _end_thoughts(self, taken: GuidedTokens, step: Step) -> GuidedTokens:
        self._is_thinking, self._tail = False, b""
        ended = self._written(self._messages.closing + self._messages.between, step)
        if not (ended.is_over or self._plan.whole is not None):
            begun = self._begin_message(step)
            ended = GuidedTokens([*ended.tokens, *begun.tokens], begun.is_over)
        return GuidedTokens([*taken.tokens, *ended.tokens], ended.is_over)

    def _begin_message(self, step: Step) -> GuidedTokens:
        if self._messages.heads is None:
            return self._written(self._messages.head, step)
        self.heads = self._messages.heads.copy()
        forced = self.heads.take_forced() if self._plan.fast_forward else []
        return _all_of(GuidedTokens(), forced, step)

    def _written(self, text: bytes, step: Step) -> GuidedTokens:
        """Write `text`, of which a grammar may force some, and what follows it besides."""
        tokens: list[int] = []
        written, is_over = b"", False
        while len(written) < len(text) and not is_over:
            taken = step(self._plan.tokenize(text[len(written) :])[0])
            tokens += taken.tokens
            written += b"".join(map(self._plan.piece, taken.tokens))
            is_over = taken.is_over
        return GuidedTokens(tokens, is_over)


def _all_of(taken: GuidedTokens, further: list[int], step: Step) -> GuidedTokens:
    """Return the tokens taken, and what `further` ones lead to."""
    for token in further:
        following = step(token)
        taken = GuidedTokens([*taken.tokens, *following.tokens], following.is_over)
    return taken
