"""Owns which tokens may come next in one answer: free text, thinking, or a grammar.

Pure but for the matchers, which are passed in; must not know requests or llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from app.chat.parsing.reasoning_tags import N_QUOTE_CHARS, is_quoted
from app.engine.constrain.message_budget import MessageBudget
from app.engine.constrain.plan import (
    AnswerMatcher,
    Block,
    GuidedTokens,
    GuidePlan,
    ThinkingPlan,
)

_SPACE = b" \t\r\n"
_BETWEEN = _SPACE + b",;]}"  # what parsers forgive between two calls


class _Phase(Enum):
    FREE = auto()
    THINKING = auto()
    BOUND = auto()


class _Place(Enum):
    START = auto()
    BEHIND = auto()  # directly behind a block
    TEXT = auto()


class Guide:
    """Follows one answer.

    Args:
        plan: what was made for the request.
    """

    def __init__(self, plan: GuidePlan) -> None:
        self._plan = plan
        self._matcher = plan.whole.copy() if plan.whole is not None else None
        self._in_block: Block | None = None
        self._may_think = plan.thinking is not None and not plan.thinking.is_open
        self._may_call = plan.block is not None
        self._place = _Place.START
        self._after_quoted = False  # only whitespace came since a trigger that was quoted
        self._n_opened = 0  # tokens of the tag before thoughts, where the answer is held
        self._must_open = False
        self._n_thought = 0
        self._most_thoughts = plan.thinking.budget if plan.thinking is not None else None
        self._tail = b""  # what may be the beginning of a tag
        self._phase = _Phase.FREE if self._matcher is None else _Phase.BOUND
        if plan.thinking is not None and plan.thinking.is_open:
            self._phase = _Phase.THINKING
        self._budget: MessageBudget | None = None
        if plan.messages is not None:
            self._budget = MessageBudget(plan, plan.messages)

    @property
    def _heads(self) -> AnswerMatcher | None:
        return None if self._budget is None else self._budget.heads

    @property
    def _opening(self) -> int | None:
        """The next token of the tag before thoughts, where they may begin."""
        thinking = self._plan.thinking
        if not self._may_think or thinking is None or thinking.opening_token is None:
            return None
        return (thinking.opening_token, *thinking.opening_rest)[self._n_opened]

    @property
    def error(self) -> str:
        """Why the grammar could not be followed; empty where it could."""
        is_bound = self._phase is _Phase.BOUND and self._matcher is not None
        return self._matcher.error if is_bound and self._matcher is not None else ""

    def begin(self) -> GuidedTokens:
        """Return what has to come first, before anything is chosen."""
        thinking = self._plan.thinking
        if self._phase is _Phase.THINKING and thinking is not None and self._most_thoughts == 0:
            return self._stop_thinking(thinking, [])
        begun = self._with_forced([]) if self._opening is None else GuidedTokens()
        return begun if self._budget is None else self._budget.begin(begun, self._step)

    def end_thoughts(self) -> GuidedTokens:
        """Return what ends the thoughts here; nothing where there are none, or they just end.

        Later ones have no tokens.
        """
        if self._budget is not None:
            return self._budget.end(self._step)
        self._most_thoughts, thinking = 0, self._plan.thinking
        is_thinking = self._phase is _Phase.THINKING and thinking is not None
        if thinking is None or not is_thinking or _has_begun(thinking.closing, self._tail):
            return GuidedTokens()
        return self._stop_thinking(thinking, [])

    def mask(self) -> bytes | None:
        """Return which tokens may come next, a bit each; None is all of them."""
        if self._phase is not _Phase.BOUND or self._matcher is None:
            return None if self._heads is None else self._heads.mask()
        mask, opening = self._matcher.mask(), self._opening
        if opening is None:
            return mask
        return _with_bit(bytes(len(mask)) if self._must_open else mask, opening)

    def n_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many leading draft tokens are allowed."""
        if self._phase is not _Phase.BOUND or self._matcher is None:
            return len(tokens) if self._heads is None else 0
        return 0 if self._may_think else self._matcher.n_allowed(tokens)

    def take(self, token: int) -> GuidedTokens:
        """Record a sampled token; return the tokens to append."""
        return self._step(token) if self._budget is None else self._budget.take(token, self._step)

    def _step(self, token: int) -> GuidedTokens:
        match self._phase:
            case _Phase.FREE:
                return self._take_free(token)
            case _Phase.THINKING:
                return self._take_thought(token)
            case _Phase.BOUND:
                return self._take_bound(token)

    def take_end(self, token: int) -> GuidedTokens:
        """Note a chosen token that ends the generation, and return what it leads to.

        Where the whole answer is held to a grammar, it ends no more than the thoughts.
        """
        thinking = self._plan.thinking
        if self._phase is _Phase.THINKING and thinking is not None and self._matcher is not None:
            return self._stop_thinking(thinking, [])
        return GuidedTokens([token])

    # ------------------------------------------------------------ bound

    def _take_bound(self, token: int) -> GuidedTokens:
        if token == self._opening:
            return self._open(token)
        self._may_think = False
        if self._matcher is not None:
            self._matcher.take(token)
        return self._with_forced([token])

    def _open(self, token: int) -> GuidedTokens:
        """Take a token of the tag before thoughts, which the answer may begin with as well."""
        thinking, whole = self._plan.thinking, self._plan.whole
        if thinking is None or whole is None or self._matcher is None:
            return GuidedTokens([token])
        self._n_opened += 1
        if self._n_opened > len(thinking.opening_rest):
            self._may_think, self._matcher = False, whole.copy()
            return self._start_thinking(thinking, [token])
        self._must_open = self._must_open or not self._matcher.n_allowed([token])
        if not self._must_open:
            self._matcher.take(token)
            if self._matcher.is_over:
                self._may_think = False
                return self._with_forced([token])
        return GuidedTokens([token])

    def _with_forced(self, tokens: list[int]) -> GuidedTokens:
        """Return the tokens and those that the grammar forces after them."""
        if self._phase is not _Phase.BOUND or self._matcher is None:
            return GuidedTokens(tokens)
        if self._plan.fast_forward:
            tokens = tokens + self._matcher.take_forced()
        if not self._matcher.is_over or self._matcher.error:
            return GuidedTokens(tokens)
        block = self._in_block
        if block is None or block.is_last:
            return GuidedTokens(tokens, is_over=True)
        self._phase, self._matcher, self._in_block, self._tail = _Phase.FREE, None, None, b""
        self._place, watched = _Place.BEHIND, self._plan.block
        self._may_call = watched is not None and bool(watched.anywhere or watched.behind)
        return GuidedTokens(tokens)

    # ------------------------------------------------------------ thinking

    def _start_thinking(self, thinking: ThinkingPlan, tokens: list[int]) -> GuidedTokens:
        self._phase, self._tail = _Phase.THINKING, b""
        return (
            self._stop_thinking(thinking, tokens)
            if self._most_thoughts == 0
            else GuidedTokens(tokens)
        )

    def _stop_thinking(self, thinking: ThinkingPlan, tokens: list[int]) -> GuidedTokens:
        self._end_thinking()
        return self._with_forced([*tokens, *thinking.end])

    def _end_thinking(self) -> None:
        self._phase = _Phase.FREE if self._matcher is None else _Phase.BOUND
        self._may_think, self._tail = False, b""

    def _take_thought(self, token: int) -> GuidedTokens:
        thinking = self._plan.thinking
        if thinking is None:
            return GuidedTokens([token])
        self._n_thought += 1
        piece = self._plan.piece(token)
        written = self._tail + piece
        blocks = thinking.block.anywhere if thinking.block is not None else {}
        tags = (thinking.closing, *thinking.also_end, *blocks)
        at, tag = _first_of(tags, written)
        while tag in blocks and self._is_quoted(written[:at]):
            written, self._after_quoted = written[at + len(tag) :], True
            at, tag = _first_of(tags, written)
        if tag in blocks:
            return self._begin_block(blocks[tag], token, written[at + len(tag) :])
        if tag == thinking.closing:
            self._end_thinking()
            rest = written[at + len(tag) :]
            gap = [] if rest or self._matcher is None else thinking.gap
            return self._go_on_behind(token, rest.lstrip(), gap)
        if tag:
            return self._begin_answer(thinking, token, written[at : len(written) - len(piece)])
        self._tail = written[-thinking.n_tail :]
        self._after_quoted &= not written[: -thinking.n_tail].strip()
        is_over = self._most_thoughts is not None and self._n_thought >= self._most_thoughts
        if is_over and not _has_begun(thinking.closing, written):
            return self._stop_thinking(thinking, [token])
        return GuidedTokens([token])

    def _is_quoted(self, before: bytes) -> bool:
        """Return whether a trigger after `before` is; a quotation goes on behind a quoted one."""
        if self._after_quoted and not before.strip():
            return True
        return is_quoted(before[-N_QUOTE_CHARS:].decode("utf-8", "replace"))

    def _begin_block(self, block: Block, token: int, rest: bytes) -> GuidedTokens:
        """Hold what follows to a block whose trigger `token` has ended; `rest` is behind it."""
        self._may_think = False
        self._phase, self._matcher = _Phase.BOUND, block.matcher.copy()
        self._in_block = block
        return self._go_on_behind(token, rest)

    def _begin_answer(self, thinking: ThinkingPlan, token: int, before: bytes) -> GuidedTokens:
        """End the thoughts with a token that the answer begins with, `before` of it written."""
        if self._matcher is None:
            self._end_thinking()
            self._tail = before
            return self._take_free(token)
        begun = self._plan.tokenize(before + self._plan.piece(token)) if before else [token]
        if self._matcher.n_allowed(begun) < len(begun):
            return self._stop_thinking(thinking, [])
        self._end_thinking()
        for read in begun:
            self._matcher.take(read)
        return self._with_forced([token])

    # ------------------------------------------------------------ free

    def _take_free(self, token: int) -> GuidedTokens:
        if not (self._may_think or self._may_call):
            return GuidedTokens([token])
        written = self._tail + self._plan.piece(token)
        begun = written.lstrip()
        thinking, block = self._plan.thinking, self._plan.block
        if self._may_think and thinking is not None:
            if begun.startswith(thinking.opening):
                self._may_think = False
                return self._start_thinking(thinking, [token])
            self._may_think = thinking.opening.startswith(begun)
        if self._may_call and block is not None:
            found = self._found_here(block, written) if self._place is not _Place.TEXT else None
            if found is None and (tag := block.pattern.search(written)):
                found = block.anywhere[tag[0]], tag.end()
            if found is not None:
                return self._begin_block(found[0], token, written[found[1] :])
        is_short = self._place is _Place.TEXT and not self._may_think and block is not None
        self._tail = written[-block.n_tail :] if is_short and block is not None else written
        return GuidedTokens([token])

    def _found_here(self, block: Block, written: bytes) -> tuple[Block, int] | None:
        """Return the block whose trigger counts only here, and where that ends."""
        is_start = self._place is _Place.START
        blocks = block.at_start if is_start else block.behind
        begun = written.lstrip(_SPACE if is_start else _BETWEEN)
        ends = [_end_of(one.trigger, begun) for one in blocks]
        for one, end in zip(blocks, ends, strict=True):
            if end > 0:
                return one, len(written) - len(begun) + end
        if not (self._may_think or 0 in ends):
            self._place = _Place.TEXT
            self._may_call = bool(block.anywhere)
        return None

    def _go_on_behind(self, token: int, rest: bytes, gap: Sequence[int] = ()) -> GuidedTokens:
        """Begin what follows a tag that ended within `token`, `rest` being the token's end.

        Where that is not what the grammar admits, only the token's beginning is used: it was
        chosen before the grammar held.
        """
        tokens = [token]
        is_bound = self._phase is _Phase.BOUND and self._matcher is not None
        if rest and is_bound and self._matcher is not None and not self._matcher.take_text(rest):
            tokens = self._plan.tokenize(self._plan.piece(token)[: -len(rest)])
        return self._with_forced([*tokens, *gap])


def _first_of(tags: Sequence[bytes], written: bytes) -> tuple[int, bytes]:
    """Return where the first of `tags` is, and which it is; an empty one where there is none."""
    found = [(at, tag) for tag in tags if (at := written.find(tag)) >= 0]
    return min(found, default=(-1, b""))


def _has_begun(tag: bytes, written: bytes) -> bool:
    return any(written.endswith(tag[:n]) for n in range(1, len(tag)))


def _end_of(trigger: bytes, begun: bytes) -> int:
    """Return where a trigger ends that a text begins with; 0 where it may become one, -1 where not.

    Whitespace that the trigger has not is passed over.
    """
    n_read = 0
    for at, byte in enumerate(begun):
        if byte == trigger[n_read]:
            n_read += 1
        elif byte not in _SPACE:
            return -1
        if n_read == len(trigger):
            return at + 1
    return 0


def _with_bit(mask: bytes, token: int) -> bytes:
    changed = bytearray(mask)
    changed[token // 8] |= 1 << token % 8
    return bytes(changed)
