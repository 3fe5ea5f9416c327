"""Owns which special tokens of a prompt are meant; must not know templates or llama.cpp.

`<|im_end|>` in a template is a control token. In what a user or a tool says it is text, or anyone
whose words get there could end the turn and begin another. So before a template is rendered, the
characters of such texts are replaced by stand-ins, one for one, which nothing else in the
conversation contains. Wherever stand-ins come out, text is tokenised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.base.json_types import JsonObject
from app.base.special_token import SpecialToken
from app.engine.prompt.raw_prompt import RawTokenizer

# Symbols and letters without case or whitespace, which are printable: Python's `repr`, which some
# templates write, leaves them as they are. SignWriting is the least used; Tangut is in reserve.
_POOL = (*range(0x1D800, 0x1DA00), *range(0x17000, 0x187F8))
_POOL_CHARS = re.compile("[\U0001d800-\U0001d9ff\U00017000-\U000187f7]")
_ESCAPED = re.compile(r"\\ud8[0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
_SOUGHT = re.compile(
    r"""
    \.\s*(?:r?split|r?partition|startswith|endswith|replace|r?find|r?index|count)
    \(\s*(?:'([^'\n]+)'|"([^"\n]+)")
    | (?:'([^'\n]+)'|"([^"\n]+)")\s+(?:not\s+)?in\b
    """,
    re.VERBOSE,
)
_KEPT = frozenset("<>&'\"")
_SPACES = " \t\n\v\f\r"
_TRUSTED_ROLES = ("system", "developer")


class StandIns:
    """Characters that stand for those of special texts.

    Args:
        characters: those that special texts consist of.
        first: where in the pool their stand-ins begin.
    """

    def __init__(self, characters: Sequence[str], first: int = 0) -> None:
        codes = _POOL[first : first + len(characters)]
        self._hidden = dict(zip(map(ord, characters), codes, strict=True))
        self._shown = dict(zip(codes, map(ord, characters), strict=True))
        self.characters = frozenset(map(chr, codes))
        self._pattern = re.compile(f"[{''.join(map(chr, codes))}]")

    def hide(self, text: str) -> str:
        """Return a special text made unrecognisable.

        What HTML escapes is kept, as templates may escape it, or look for it.
        """
        kept = "".join(each if each in _KEPT else each.translate(self._hidden) for each in text)
        return kept if kept != text else text.translate(self._hidden)

    def show(self, text: str) -> str:
        """Return a text with what its stand-ins stand for."""
        return text.translate(self._shown)

    def occur_in(self, text: str) -> bool:
        """Return whether a text has stand-ins."""
        return self._pattern.search(text) is not None

    def unescape(self, prompt: str) -> str:
        r"""Return a rendered prompt with the stand-ins that were written as `\ud836\udc00`.

        Where a template has JSON escape all but ASCII, ASCII characters are left as they are, and
        so are their stand-ins.
        """
        return _ESCAPED.sub(self._unescaped, prompt) if "\\ud8" in prompt else prompt

    def _unescaped(self, match: re.Match[str]) -> str:
        stand_in: str = json.loads(f'"{match[0]}"')
        if stand_in not in self.characters:
            return match[0]
        stood_for = self.show(stand_in)
        return stand_in if stood_for.isascii() else json.dumps(stood_for)[1:-1]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered prompt.

    Args:
        text: as the template wrote it, with stand-ins where special tokens are not meant.
        stand_ins: what to read them by; None where there are none.
    """

    text: str
    stand_ins: StandIns | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a prompt that is tokenised by itself; others begin and end at special tokens."""

    text: str
    parse_special: bool


class _Finder:
    """Finds special texts; of those that begin at one place, the longest.

    One regular expression of thousands of texts would try each of them at every `<`.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)
        seconds: dict[str, set[str]] = {}
        lengths: dict[str, set[int]] = {}
        for text in self._texts:
            seconds.setdefault(text[0], set()).add(text[1:2])
            lengths.setdefault(text[:2], set()).add(len(text))
        self._lengths = {start: sorted(each, reverse=True) for start, each in lengths.items()}
        ways = [_begins(first, each) for first, each in seconds.items()]
        self._begin = re.compile("|".join(ways) or "(?!)", re.DOTALL)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Return where special texts begin and end, from left to right."""
        end = 0
        for match in self._begin.finditer(text):
            start = match.start()
            if start >= end and (length := self._length(text, start)):
                end = start + length
                yield start, end

    def _length(self, text: str, start: int) -> int:
        for begin in (text[start : start + 2], text[start]):
            for length in self._lengths.get(begin, ()):
                if text[start : start + length] in self._texts:
                    return length
        return 0

    def occur_in(self, texts: Iterable[str]) -> bool:
        """Return whether some text has a special one."""
        begins = self._begin.search
        return any(begins(text) and any(self.spans(text)) for text in texts)

    def hidden(self, text: str, stand_ins: StandIns) -> str:
        """Return a text with stand-ins in place of special ones."""
        pieces, end = [], 0
        for start, next_end in self.spans(text):
            pieces += [text[end:start], stand_ins.hide(text[start:next_end])]
            end = next_end
        return "".join([*pieces, text[end:]]) if pieces else text


class SpecialTexts:
    """The texts of a vocabulary's control tokens.

    Texts that are a plain word are left alone: they would be found in names of fields.

    Args:
        tokens: the control tokens; looked through once, when they are first needed.
        tags: those that an assistant's text may contain, as templates and the parsers of answers
            look for them there.
        template_source: a template; stand-ins are chosen that it does not write itself.
    """

    def __init__(
        self, tokens: Iterable[SpecialToken], tags: Iterable[str], template_source: str
    ) -> None:
        self._given = tokens
        self._tags = frozenset(tags)
        self._source = template_source

    @cached_property
    def _tokens(self) -> dict[str, SpecialToken]:
        return {token.text: token for token in self._given if not _is_word(token.text)}

    @cached_property
    def _any(self) -> _Finder:
        return _Finder(self._tokens)

    @cached_property
    def _in_answers(self) -> _Finder:
        return _Finder(self._tokens.keys() - self._tags)

    @cached_property
    def _characters(self) -> list[str]:
        return sorted({character for text in self._tokens for character in text})

    def prepare(self) -> None:
        """Look through the tokens, which otherwise waits for the first conversation."""
        self.hide([], [], None)

    def hide(
        self, messages: list[JsonObject], tools: list[JsonObject], others: object
    ) -> tuple[list[JsonObject], list[JsonObject], StandIns | None]:
        """Return messages and tools without special texts where they are not meant.

        They stay in instructions, which are the application's, and tags stay in what the assistant
        says. Nothing is changed, copied or looked at twice where there are none.

        Args:
            others: whatever else the template gets.
        """
        guarded = [message for message in messages if message.get("role") not in _TRUSTED_ROLES]
        if not self._tokens or not self._any.occur_in(_strings([guarded, tools])):
            return messages, tools, None
        stand_ins = self._unused(_strings([messages, tools, others]))
        shown = [self._shown(message, stand_ins) for message in messages]
        return shown, _hidden(tools, self._any, stand_ins), stand_ins

    def _shown(self, message: JsonObject, stand_ins: StandIns) -> JsonObject:
        role = message.get("role")
        if role in _TRUSTED_ROLES:
            return message
        finders = dict.fromkeys(message, self._any)
        if role == "assistant":
            finders = dict.fromkeys(message, self._in_answers) | {"tool_calls": self._any}
        return {key: _hidden(value, finders[key], stand_ins) for key, value in message.items()}

    def _unused(self, texts: Iterable[str]) -> StandIns:
        """Return stand-ins that do not occur in the texts; the same ones nearly always.

        Some conversation may contain all there are. It is shown with special characters in their
        place, but as text.
        """
        used: set[str] = set(_POOL_CHARS.findall(self._source))
        for text in texts:
            used.update(_POOL_CHARS.findall(text))
        n = len(self._characters)
        for first in range(0, len(_POOL) - n, n):
            stand_ins = StandIns(self._characters, first)
            if used.isdisjoint(stand_ins.characters):
                return stand_ins
        return StandIns(self._characters)

    def tokens(self, prompt: Rendered, model: RawTokenizer, *, add_special: bool) -> list[int]:
        """Return the token ids of a prompt; only special tokens that are meant become such."""
        if prompt.stand_ins is None:
            return model.tokenize(prompt.text, add_special=add_special, parse_special=True)
        adds_bos = add_special and model.adds_bos
        tokens = [model.bos_token] if adds_bos and model.bos_token is not None else []
        for piece in self.pieces(prompt):
            tokens += model.tokenize(
                piece.text, add_special=False, parse_special=piece.parse_special
            )
        return tokens

    def pieces(self, prompt: Rendered) -> Iterator[Piece]:
        """Return the parts of a prompt, from left to right.

        A part with stand-ins goes from one special token to the next. So it is tokenised as
        llama.cpp tokenises what is between them, and no merge of tokens is lost.
        """
        text, stand_ins = prompt.text, prompt.stand_ins
        if stand_ins is None:
            yield Piece(text, parse_special=True)
            return
        done = end = 0
        last = _NO_TOKEN
        for start, next_end in [*self._any.spans(text), (len(text), len(text))]:
            token = self._tokens.get(text[start:next_end], _NO_TOKEN)
            between = text[end:start]
            if stand_ins.occur_in(between):
                if done < end:
                    yield Piece(text[done:end], parse_special=True)
                between = between.lstrip(_SPACES) if last.strips_after else between
                between = between.rstrip(_SPACES) if token.strips_before else between
                yield Piece(stand_ins.show(between), parse_special=False)
                done = start
            end, last = next_end, token
        if done < len(text):
            yield Piece(text[done:], parse_special=True)


_NO_TOKEN = SpecialToken("")


def sought_by(template_source: str) -> set[str]:
    """Return the texts that a template looks for in what it is given, such as `</think>`."""
    return {text for match in _SOUGHT.finditer(template_source) for text in match.groups() if text}


def _begins(first: str, seconds: set[str]) -> str:
    """Return the expression for the first of two characters, and for one that stands alone."""
    if "" in seconds:
        return re.escape(first)
    return f"{re.escape(first)}(?=[{''.join(map(re.escape, sorted(seconds)))}])"


def _is_word(text: str) -> bool:
    return not text.strip() or text.replace("_", "a").isalnum()


def _strings(value: object) -> Iterator[str]:
    """Return all texts in a JSON value, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _hidden(value: Any, finder: _Finder, stand_ins: StandIns) -> Any:
    """Return a JSON value with stand-ins in place of the special texts in it."""
    if isinstance(value, str):
        return finder.hidden(value, stand_ins)
    if isinstance(value, dict):
        return {
            finder.hidden(key, stand_ins): _hidden(inner, finder, stand_ins)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_hidden(inner, finder, stand_ins) for inner in value]
    return value
