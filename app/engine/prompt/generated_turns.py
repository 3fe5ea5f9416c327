"""Owns finding generated answers in later prompts; must not know templates or llama.cpp.

A client sends answers back as text and JSON. Rendered and tokenised again, they are rarely the
tokens that were generated, and the prompt cache would miss from there on. So each finished answer
is remembered, and its own tokens replace it in the prompts that follow.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated, Any

import msgspec

from app.base.json_types import plain_json
from app.chat.parsing.stream_parser import StreamEvent, StreamParser, collect

MAX_RECORD_BYTES = 16 * 1024 * 1024
# The last tokens of an answer are not decoded: one, or as many as followed by themselves.
MAX_UNDECODED = 32
_MAX_CHARS_FOR_ONE = 16  # JSON may write one character as two escapes, and spread itself out
_PIECE_CHARS = 4096
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
    """

    prompt_text: str
    tokens: Sequence[int]
    answer_text: str
    end_text: str

    @property
    def n_bytes(self) -> int:
        """Memory that it takes, with its tokens at 4 bytes each."""
        texts = (self.prompt_text, self.answer_text, self.end_text)
        return sum(map(sys.getsizeof, texts)) + _TOKEN_BYTES * len(self.tokens)


@dataclass(frozen=True, slots=True)
class Spliced:
    """The tokens of a prompt as far as they are known, and the text that follows them."""

    tokens: list[int]
    rest: str


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
        self._turns[_key(turn)] = replace(turn, tokens=array("i", turn.tokens))
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
        """Return the turn that has these tokens, or a few more: the last are never decoded."""
        wanted = array("i", tokens)
        n_wanted = len(wanted)
        found = [
            turn
            for turn in self._turns.values()
            if n_wanted <= len(turn.tokens) <= n_wanted + MAX_UNDECODED
            and turn.tokens[:n_wanted] == wanted
        ]
        return min(found, key=lambda turn: len(turn.tokens), default=None)

    def splice(self, text: str) -> Spliced | None:
        """Return known tokens for the beginning of the rendered prompt `text`.

        They are those of the turn with the longest prompt that `text` begins with, where what
        follows is the turn's answer and its end. Of several answers to one prompt, one in the
        same words goes before one of the same meaning, and a later before an earlier one.

        The whole prompt is `tokens`, then those of `rest`, tokenised without a beginning of
        sequence. `rest` begins with the text of a special token, where no vocabulary merges or
        adds spaces, or it is empty: then the prompt ends within an answer.
        """
        matching = [
            turn for turn in reversed(self._turns.values()) if text.startswith(turn.prompt_text)
        ]
        matching.sort(key=lambda turn: len(turn.prompt_text), reverse=True)
        for _, answers in groupby(matching, key=lambda turn: len(turn.prompt_text)):
            found = self._choose(list(answers), text)
            if found is not None:
                turn, end = found
                self._turns[_key(turn)] = self._turns.pop(_key(turn))
                return Spliced(list(turn.tokens), text[end:])
        return None

    def _choose(self, turns: list[GeneratedTurn], text: str) -> tuple[GeneratedTurn, int] | None:
        """Return the turn whose answer `text` goes on with, and where in `text` it ends."""
        exact = [(turn, end) for turn in turns if (end := self._exact_end(turn, text)) is not None]
        if exact:
            return max(exact, key=lambda found: found[1])
        for turn in turns:
            end = self._equivalent_end(turn, text)
            if end is not None:
                return turn, end
        return None

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


def _begins_elsewhere(turn: GeneratedTurn, first: str) -> bool:
    """Return whether space at the beginning tells two answers apart that go on in a text."""
    goes_on = turn.prompt_text[-1:].isalnum()
    return goes_on and first.isspace() != turn.answer_text[:1].isspace()


def _key(turn: GeneratedTurn) -> tuple[str, str, str]:
    return turn.prompt_text, turn.answer_text, turn.end_text


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer says.

    Args:
        content: without the whitespace around it.
        reasoning: without the whitespace around it.
        calls: name, arguments in one way to write JSON, and whether the call is complete.
    """

    content: str
    reasoning: str
    calls: tuple[tuple[str, str, bool], ...]


def meaning_of(text: str, parser: StreamParser) -> Meaning:
    """Return what the answer `text` says.

    Args:
        text: an answer with the tags of the model's tool format.
        parser: a fresh one. It should take any name for a call (`ToolFormat.parser(None)`):
            history may hold calls of tools that are offered no longer.
    """
    events: list[StreamEvent] = []
    for start in range(0, len(text), _PIECE_CHARS):  # parsers copy what they have not read yet
        events += parser.feed(text[start : start + _PIECE_CHARS])
    events += parser.finish()
    answer = collect(events)
    calls = [
        (call.name, _canonical_json(call.arguments), call.complete) for call in answer.tool_calls
    ]
    return Meaning(answer.content.strip(), answer.reasoning.strip(), tuple(calls))


def _canonical_json(json_text: str) -> str:
    """Return JSON in canonical form; what is not plain JSON stays as it is.

    Key order, whitespace and escapes do not matter, and 1.0 is 1; true is not. Prompts show half
    a surrogate pair as U+FFFD, so it is that here.
    """
    try:
        value = json.loads(
            json_text, object_pairs_hook=_object, parse_float=_number, parse_constant=_number
        )
        return json.dumps(plain_json(value), sort_keys=True)
    except (ValueError, RecursionError):
        return json_text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _number(text: str) -> int | float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return int(number) if number.is_integer() else number


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


_decoder = msgspec.msgpack.Decoder(_Record)


def to_bytes(turn: GeneratedTurn, n_tokens: int) -> bytes:
    """Return what `from_bytes` needs to make the turn again, besides its first `n_tokens`.

    No more than `MAX_UNDECODED` may be missing there.
    """
    record = _Record(
        prompt=_encoded(turn.prompt_text),
        answer=_encoded(turn.answer_text),
        end=_encoded(turn.end_text),
        n_tokens=n_tokens,
        rest=list(turn.tokens[n_tokens:]),
    )
    return msgspec.msgpack.encode(record)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes, tokens: Sequence[int]) -> GeneratedTurn | None:
    """Return the turn that `to_bytes` wrote; None where `data` is no such record.

    Args:
        data: of any origin.
        tokens: as many of the turn's as `to_bytes` was given.
    """
    if len(data) > MAX_RECORD_BYTES:
        return None
    try:
        record = _decoder.decode(data)
        encoded = (record.prompt, record.answer, record.end)
        prompt, answer, end = (text.decode("utf-8", "surrogatepass") for text in encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if record.n_tokens != len(tokens):
        return None
    return GeneratedTurn(prompt, [*tokens, *record.rest], answer, end)
