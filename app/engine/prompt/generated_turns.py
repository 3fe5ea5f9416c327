"""Owns finding generated answers in later prompts; must not know templates or llama.cpp.

A client sends answers back as text and JSON. Rendered and tokenised again, they are rarely the
tokens that were generated, and the prompt cache would miss from there on. So each finished answer
is remembered, and its own tokens replace it in the prompts that follow.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated

import msgspec

from app.base.prefix import common_prefix
from app.engine.prompt.cut_answers import NO_CUT, CutEnd, joined, whole_tokens
from app.engine.prompt.meaning import Meaning as Meaning
from app.engine.prompt.meaning import meaning_of as meaning_of

MAX_RECORD_BYTES = 16 * 1024 * 1024
# The last tokens of an answer are not decoded: one, or as many as followed by themselves.
MAX_UNDECODED = 32
_MAX_CHARS_FOR_ONE = 16  # JSON may write one character as two escapes, and spread itself out
_TOKEN_BYTES = array("i").itemsize


@dataclass(frozen=True, slots=True)
class GeneratedTurn:
    """A prompt and the answer to it.

    Args:
        prompt_text: the prompt as the template rendered it.
        tokens: the prompt's tokens as they were used, then the generated ones without the one
            that ended the answer. They must spell `answer_text` and no more: of an answer that
            was cut at a stop string, the tokens wholly before it.
        answer_text: text of the generated tokens, with the tags of calls and reasoning.
        end_text: text of the token that ended the answer; empty where it was cut off.
        lengths: characters of each generated token (see `CutAnswer`), where it was cut off.
    """

    prompt_text: str
    tokens: Sequence[int]
    answer_text: str
    end_text: str
    lengths: Sequence[int] = ()

    @property
    def n_bytes(self) -> int:
        """Memory that it takes, with its tokens and their lengths at 4 bytes each."""
        texts = (self.prompt_text, self.answer_text, self.end_text)
        n_numbers = len(self.tokens) + len(self.lengths)
        return sum(map(sys.getsizeof, texts)) + _TOKEN_BYTES * n_numbers

    def n_shared(self, text: str) -> int:
        """Return how many characters of the answer `text` has behind the prompt."""
        start = len(self.prompt_text)
        return common_prefix(text[start : start + len(self.answer_text)], self.answer_text)


@dataclass(frozen=True, slots=True)
class Spliced:
    """The tokens of a prompt as far as they are known, and the text that follows them.

    Args:
        tokens: the known ones.
        rest: what follows.
        end: the place between them; see `joined`.
    """

    tokens: list[int]
    rest: str
    end: CutEnd = NO_CUT

    def whole(self, tokenize: Callable[[str], list[int]]) -> list[int] | None:
        """Return the tokens of the prompt; see `joined`."""
        return joined(self.tokens, self.rest, self.end, tokenize)


class GeneratedTurns:
    """The remembered turns, the least recently used first.

    As `prompt_text` is always the plain rendering while `tokens` are those that were used, each
    turn carries the exact tokens of all turns before it.

    Args:
        meaning: what a text says, however it is written; equal for texts that may stand for each
            other (see `meaning_of`).
        ends: texts of all special tokens that may end an answer. A turn's own `end_text` is one
            of them anyway; the others serve answers that were cut off or ended in another way
            than the template writes it.
        max_turns: turns to keep.
        max_bytes: memory that all turns together may take.
    """

    def __init__(
        self,
        meaning: Callable[[str], object],
        ends: Iterable[str] = (),
        *,
        max_turns: int = 64,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._meaning = meaning
        self._ends = frozenset(ends)
        self._max_turns = max_turns
        self._max_bytes = max_bytes
        self._turns: dict[tuple[str, str, str], GeneratedTurn] = {}
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def n_bytes(self) -> int:
        """Memory that all turns take."""
        return self._n_bytes

    def remember(self, turn: GeneratedTurn) -> None:
        """Take a turn in; the least recently used make room. Of the same texts, one is kept."""
        if not turn.answer_text and not turn.end_text:
            return  # any text would match
        self._forget(_key(turn))
        if turn.n_bytes > self._max_bytes:
            return
        tokens, lengths = array("i", turn.tokens), array("i", turn.lengths)
        self._turns[_key(turn)] = replace(turn, tokens=tokens, lengths=lengths)
        self._n_bytes += turn.n_bytes
        while len(self._turns) > self._max_turns or self._n_bytes > self._max_bytes:
            self._forget(next(iter(self._turns)))

    def _forget(self, key: tuple[str, str, str]) -> None:
        forgotten = self._turns.pop(key, None)
        if forgotten is not None:
            self._n_bytes -= forgotten.n_bytes

    def clear(self) -> None:
        """Forget all turns."""
        self._turns.clear()
        self._n_bytes = 0

    def with_tokens(self, tokens: Sequence[int]) -> GeneratedTurn | None:
        """Return the turn that has these tokens, or a few more: the last are never decoded.

        Without such a turn it is the longest that they begin with: of an answer that was cut at
        a stop string, tokens are decoded that are none of the turn's.
        """
        wanted = array("i", tokens)
        n_wanted = len(wanted)
        found = [
            turn
            for turn in self._turns.values()
            if len(turn.tokens) <= n_wanted + MAX_UNDECODED
            and turn.tokens[:n_wanted] == wanted[: len(turn.tokens)]
        ]
        n_tokens = sorted(len(turn.tokens) for turn in found)
        best = next((n for n in n_tokens if n >= n_wanted), n_tokens[-1] if n_tokens else 0)
        return next((turn for turn in reversed(found) if len(turn.tokens) == best), None)

    def splice(self, text: str) -> Spliced | None:
        """Return known tokens for the beginning of the rendered prompt `text`.

        They are those of the turn with the longest prompt that `text` begins with, where what
        follows is the turn's answer and its end. Of several answers to one prompt, one in the
        same words goes before one of the same meaning, and a later before an earlier one. Of an
        answer that was cut, the tokens are taken that spell what follows, however it goes on.

        The whole prompt is `tokens`, then those of `rest`, tokenised without a beginning of
        sequence; `Spliced.whole` makes it. `rest` begins with the text of a special token, where no
        vocabulary merges or adds spaces, or it is empty: then the prompt ends within an answer.
        Behind an answer that was cut, `end` tells what else it may be.
        """
        matching = [
            turn for turn in reversed(self._turns.values()) if text.startswith(turn.prompt_text)
        ]
        matching.sort(key=lambda turn: len(turn.prompt_text), reverse=True)
        for _, answers in groupby(matching, key=lambda turn: len(turn.prompt_text)):
            found = self._choose(list(answers), text)
            if found is not None:
                turn, spliced = found
                self._turns[_key(turn)] = self._turns.pop(_key(turn))
                return spliced
        return None

    def _choose(
        self, turns: list[GeneratedTurn], text: str
    ) -> tuple[GeneratedTurn, Spliced] | None:
        """Return the turn whose answer `text` goes on with, and the prompt that this makes."""
        exact = [(turn, end) for turn in turns if (end := self._exact_end(turn, text)) is not None]
        if exact:
            turn, end = max(exact, key=lambda found: found[1])
            return turn, Spliced(list(turn.tokens), text[end:])
        for turn in turns:
            end_at = None if turn.lengths else self._equivalent_end(turn, text)
            if end_at is not None:
                return turn, Spliced(list(turn.tokens), text[end_at:])
        cut = [
            (turn, n_shared) for turn in turns if turn.lengths and (n_shared := turn.n_shared(text))
        ]
        if not cut:
            return None
        turn, n_shared = max(cut, key=lambda found: found[1])
        return turn, _spliced_at(turn, text, n_shared)

    def _ends_of(self, turn: GeneratedTurn) -> tuple[str, ...]:
        return tuple(end for end in {*self._ends, turn.end_text} if end)

    def _exact_end(self, turn: GeneratedTurn, text: str) -> int | None:
        """Return where the answer ends, if `text` has it word for word and nothing appended."""
        start = len(turn.prompt_text)
        end = start + len(turn.answer_text)
        is_whole = end == len(text) or text.startswith(self._ends_of(turn), end)
        return end if is_whole and text.startswith(turn.answer_text, start) else None

    def _equivalent_end(self, turn: GeneratedTurn, text: str) -> int | None:
        """Return where the message ends, if it means what the answer does.

        Text far longer than the answer is not looked at: it comes from the client, and parsing
        takes time.
        """
        start = len(turn.prompt_text)
        limit = start + _MAX_CHARS_FOR_ONE * (len(turn.answer_text) + 64)
        found = [text.find(end, start, limit) for end in self._ends_of(turn)]
        end = min((at for at in found if at >= 0), default=None)
        if end is None or _begins_elsewhere(turn, text[start : start + 1]):
            return None
        return end if self._meaning(text[start:end]) == self._meaning(turn.answer_text) else None


def _spliced_at(turn: GeneratedTurn, text: str, n_shared: int) -> Spliced:
    """Return a prompt with the tokens of a cut answer that lie within `n_shared` characters."""
    n_tokens, n_chars = whole_tokens(turn.lengths, n_shared)
    n_kept = len(turn.tokens) - len(turn.lengths) + n_tokens
    place = len(turn.prompt_text) + n_chars
    end = CutEnd.at(text, place, turn.lengths[:n_tokens])
    return Spliced(list(turn.tokens[:n_kept]), text[place:], end)


def _begins_elsewhere(turn: GeneratedTurn, first: str) -> bool:
    """Return whether space at the beginning tells two answers apart that go on in a text."""
    goes_on = turn.prompt_text[-1:].isalnum()
    return goes_on and first.isspace() != turn.answer_text[:1].isspace()


def _key(turn: GeneratedTurn) -> tuple[str, str, str]:
    return turn.prompt_text, turn.answer_text, turn.end_text


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn without its tokens. Texts are bytes, as lone surrogates are no UTF-8."""

    prompt: bytes
    answer: bytes
    end: bytes
    n_tokens: Annotated[int, msgspec.Meta(ge=0)]
    rest: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, lt=2**31)]],
        msgspec.Meta(max_length=MAX_UNDECODED),
    ]
    lengths: list[Annotated[int, msgspec.Meta(ge=0, lt=2**31)]] = []
    n_beyond: Annotated[int, msgspec.Meta(ge=0)] = 0


_decoder = msgspec.msgpack.Decoder(_Record)


def to_bytes(turn: GeneratedTurn, n_tokens: int) -> bytes:
    """Return what `from_bytes` needs to make the turn again, besides `n_tokens` tokens.

    These are its first, of which no more than `MAX_UNDECODED` may be missing, or all of its own
    and further ones.
    """
    record = _Record(
        prompt=_encoded(turn.prompt_text),
        answer=_encoded(turn.answer_text),
        end=_encoded(turn.end_text),
        n_tokens=n_tokens,
        rest=list(turn.tokens[n_tokens:]),
        lengths=list(turn.lengths),
        n_beyond=max(0, n_tokens - len(turn.tokens)),
    )
    return msgspec.msgpack.encode(record)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes, tokens: Sequence[int]) -> GeneratedTurn | None:
    """Return the turn that `to_bytes` wrote; None where `data` is no such record.

    Args:
        data: of any origin.
        tokens: those that `to_bytes` was given the number of.
    """
    if len(data) > MAX_RECORD_BYTES:
        return None
    try:
        record = _decoder.decode(data)
        encoded = (record.prompt, record.answer, record.end)
        prompt, answer, end = (text.decode("utf-8", "surrogatepass") for text in encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    n_own = len(tokens) - record.n_beyond
    if record.n_tokens != len(tokens) or n_own < 0 or (record.n_beyond and record.rest):
        return None
    own = [*tokens[:n_own], *record.rest]
    is_cut_right = sum(record.lengths) == len(answer) and len(record.lengths) <= len(own)
    if record.lengths and not is_cut_right:
        return None
    return GeneratedTurn(prompt, own, answer, end, tuple(record.lengths))
