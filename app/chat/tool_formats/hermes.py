"""Owns the Hermes and Qwen way to call tools: JSON objects between `<tool_call>` tags.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from app.chat.grammar.lark import Grammar
from app.chat.parsing.stream_parser import StreamEvent, TextPiece, held_back, joined
from app.chat.parsing.unfinished import begins_call, begins_tag
from app.chat.tool_formats.base import CallBlock, MadeCalls, OfferedTools, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_object
from app.chat.tool_formats.syntax.json_call import JsonCallReader, Progress, call_text

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

# Other formats use the same tag around XML.
_XML_MARKS = ("<function=", "<arg_key>", "<invoke")
_PIECE_CHARS = 4096  # what was not read yet is copied
_JUNK = re.compile(r"[\s\]}]*[\]}]")  # brackets too many, as small models write them


class HermesParser:
    """Parses an answer with `<tool_call>` blocks.

    Text is passed on at once, but for what may become a tag and the whitespace before it. A block
    that holds no call is passed on as text, tags included; one that breaks off after its name was
    read ends without `CallEnd`, and one in which the answer ends before is dropped. A missing
    closing tag or brace is forgiven.

    Args:
        tool_names: not needed in an answer, since tags mark the calls: a name that was not
            offered is a call too, and the client says that it has no such tool.
    """

    calls_end_thoughts = False

    def __init__(self, tool_names: OfferedTools = None) -> None:
        self._offered = tool_names
        self._mode: Callable[[str], str] = self._in_text
        self._events: list[StreamEvent] = []
        self._held = ""
        self._block = ""  # raw text of a block that is no call yet
        self._reader = JsonCallReader(0)
        self._n_calls = 0
        self._just_after_block = False
        self._has_said = False

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tags that begin calls."""
        return (OPEN,)

    def offers(self, name: str, /) -> bool:
        """Return whether a tool of this name may be called."""
        return not self._offered or name in self._offered

    def fresh(self) -> HermesParser:
        """Return a parser of the same kind that has read nothing."""
        return HermesParser(self._offered)

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        for start in range(0, len(text), _PIECE_CHARS):
            piece = text[start : start + _PIECE_CHARS]
            while piece:
                piece = self._mode(piece)
        return self._taken()

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no beginning of a call."""
        if self._mode == self._in_text:
            part = self._held.strip()
            begins = begins_tag(part, is_cut=cut, has_said=self._has_said)
            if not (begins or (self._just_after_block and OPEN.startswith(part))):
                self._show(self._held)
        elif self._mode == self._in_block:
            self._events += self._reader.finish()
            body = self._block.lstrip().removeprefix(OPEN)
            begins = begins_call(body, is_cut=cut, mentions=self._has_said and not self._n_calls)
            if not (self._reader.started or begins):
                self._show(self._block)
        self._held = self._block = ""
        return self._taken()

    def _taken(self) -> list[StreamEvent]:
        events, self._events = joined(self._events), []
        return events

    def _show(self, text: str) -> None:
        if text and self._just_after_block:
            self._just_after_block = False
            text = text.removeprefix("\r").removeprefix("\n")
        if text:
            self._has_said = self._has_said or not text.isspace()
            self._events.append(TextPiece(text))

    # Each mode takes text and returns what it leaves to the next mode.

    def _in_text(self, text: str) -> str:
        text, self._held = self._held + text, ""
        at = text.find(OPEN)
        if at < 0:
            end = len(text) - held_back(text, OPEN)
            self._held = text[end:]
            self._show(text[:end])
            return ""
        before = text[:at].rstrip()
        self._show(before)
        self._block = text[len(before) : at] + OPEN
        self._reader = JsonCallReader(self._n_calls)
        self._mode = self._in_block
        return text[at + len(OPEN) :]

    def _in_block(self, text: str) -> str:
        events, rest = self._reader.feed(text)
        self._events += events
        if not self._reader.started:
            self._block += text[: len(text) - len(rest)]
        if self._reader.progress is Progress.READING:
            return ""
        if not self._reader.started:
            self._show(self._block)
            self._mode = self._in_text
        else:
            self._n_calls += 1
            whole = self._reader.progress is Progress.COMPLETE
            self._mode = self._after_call if whole else self._after_break
        return rest

    def _after_call(self, text: str) -> str:
        text, self._held = self._held + text, ""
        rest = text.lstrip(" \t\r\n]}")
        if CLOSE.startswith(rest) and rest != CLOSE:
            self._held = text
            return ""
        if rest.startswith(CLOSE):
            return self._block_over(rest[len(CLOSE) :])
        return self._block_over(_JUNK.sub("", text, count=1) if _JUNK.match(text) else text)

    def _after_break(self, text: str) -> str:
        text, self._held = self._held + text, ""
        closed, opened = text.find(CLOSE), text.find(OPEN)
        if closed >= 0 and (opened < 0 or closed < opened):
            return self._block_over(text[closed + len(CLOSE) :])
        if opened >= 0:
            return self._block_over(text[opened:])
        self._held = text[-(len(CLOSE) - 1) :]
        return ""

    def _block_over(self, rest: str) -> str:
        self._just_after_block = True
        self._mode = self._in_text
        return rest


def _recognises(template_source: str) -> bool:
    return OPEN in template_source and not any(mark in template_source for mark in _XML_MARKS)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = grammar.either([call_object(grammar, tool) for tool in tools])
    body = f"{grammar.literal(chr(10))} {calls} {grammar.literal(chr(10) + CLOSE)}"
    return CallBlock(trigger=OPEN, body=body, between="\n")


def write(calls: MadeCalls) -> str:
    """Return calls as Hermes writes them."""
    return "\n".join(f"{OPEN}\n{call_text(*call)}\n{CLOSE}" for call in calls)


FORMAT = ToolFormat(
    name="hermes",
    tags=(OPEN, CLOSE),
    recognises=_recognises,
    parser=HermesParser,
    names=IN_JSON,
    write=write,
    block=_block,
)
