"""Owns writing Anthropic's messages as OpenAI's; no I/O.

The text of a turn's blocks is joined by newlines, that of an answer by nothing: its blocks are
pieces of what the model wrote. Turns of the same role that follow each other are one turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.api.dialects.anthropic.blocks import (
    BETWEEN_BLOCKS,
    Block,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    text_of,
)
from app.api.dialects.anthropic.call_ids import own_id
from app.api.dialects.anthropic.schemas import MessageBody, MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.base.json_types import JsonObject, as_json
from app.errors import InvalidRequest
from app.protocol import CacheMark

_BILLING = "x-anthropic-billing-header"
_ASSISTANT_ONLY = {"thinking": ThinkingBlock, "tool_use": ToolUseBlock}


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One of OpenAI's messages.

    Args:
        message: the message.
        origin: the field that it comes from.
        is_marked: whether one of its blocks has `cache_control`: what ends with it is to be cached.
        n_marked: characters of its text up to the end of that block; 0 for all.
    """

    message: JsonObject
    origin: str
    is_marked: bool = False
    n_marked: int = 0

    def mark(self, number: int) -> CacheMark:
        """Return the place of the mark in a turn that so many others come before."""
        if self.n_marked:
            return CacheMark(messages=number, characters=self.n_marked)
        return CacheMark(messages=number + 1)


@dataclass(slots=True)
class Conversation:
    """A request's messages as OpenAI's.

    Args:
        turns: the messages.
        is_continued: whether the answer is the rest of the last one.
    """

    turns: list[ChatTurn] = field(default_factory=list)
    is_continued: bool = False

    @property
    def marks(self) -> list[CacheMark]:
        """The places that are to be cached: the last ones of marked turns, in their order."""
        return [turn.mark(number) for number, turn in enumerate(self.turns) if turn.is_marked]


def conversation_of(body: MessagesRequest, signer: Signer, n_earlier: int = 0) -> Conversation:
    """Return the conversation of a request.

    Args:
        body: the request.
        signer: tells which reasoning is this service's.
        n_earlier: how many of its messages the service had kept; errors do not count them.

    Raises:
        InvalidRequest: a block stands in a turn it cannot be in, or there is nothing to answer.
    """
    turns: list[_Turn] = []
    if system := _system_text(body):
        turns.append(_Turn("system", "system", _is_marked(body.system), [system]))
    last_asked = max(
        (at for at, each in enumerate(body.messages) if each.role == "user"), default=0
    )
    for index, message in enumerate(body.messages):
        if message.clear_at == "next_user_message" and index < last_asked:
            continue
        for turn in _turns(message, f"messages[{index - n_earlier}]", signer):
            if turns and turns[-1].goes_on_with(turn):
                turns[-1].add(turn)
            else:
                turns.append(turn)
    return _ended([turn.for_chat() for turn in turns])


@dataclass(slots=True)
class _Turn:
    """A turn to which others are added, those of a long list in little time.

    Args:
        n_marked: how many of its texts come before the mark; None for all.
    """

    role: str
    origin: str
    is_marked: bool
    texts: list[str]
    thoughts: list[str] = field(default_factory=list)
    calls: list[JsonObject] = field(default_factory=list)
    call_id: str = ""
    n_marked: int | None = None

    def goes_on_with(self, turn: _Turn) -> bool:
        return self.role == turn.role and self.role in ("user", "assistant")

    def add(self, turn: _Turn) -> None:
        if turn.is_marked:
            n_texts = len(turn.texts) if turn.n_marked is None else turn.n_marked
            self.n_marked = len(self.texts) + n_texts
        elif self.is_marked and self.n_marked is None:
            self.n_marked = len(self.texts)
        self.texts += turn.texts
        self.thoughts += turn.thoughts
        self.calls += turn.calls
        self.is_marked = self.is_marked or turn.is_marked

    def for_chat(self) -> ChatTurn:
        content = BETWEEN_BLOCKS.join(text for text in self.texts if text)
        message: JsonObject = {"role": self.role, "content": content}
        if self.role == "tool":
            message["tool_call_id"] = self.call_id
        if self.thoughts:
            message["reasoning_content"] = "".join(self.thoughts)
        if self.calls:
            message["tool_calls"] = self.calls
        marked = BETWEEN_BLOCKS.join(text for text in self.texts[: self.n_marked] if text)
        is_within = self.is_marked and 0 < len(marked) < len(content)
        n_marked = len(marked + BETWEEN_BLOCKS) if is_within else 0
        return ChatTurn(message, self.origin, self.is_marked, n_marked)


def _system_text(body: MessagesRequest) -> str:
    """Return the instructions, without the changing block that Claude Code begins them with."""
    system = body.system
    if isinstance(system, str):
        if not system.startswith(_BILLING):
            return system
        return system.partition("\n")[2].lstrip("\n")
    return text_of(
        block
        for block in system or ()
        if not (isinstance(block, TextBlock) and block.text.startswith(_BILLING))
    )


def _turns(message: MessageBody, origin: str, signer: Signer) -> Iterator[_Turn]:
    _check(message, origin)
    match message.role:
        case "system":
            if text := text_of(message.content):
                yield _Turn("system", origin, _is_marked(message.content), [text])
        case "assistant":
            answer = _answer(message, origin, signer)
            if any(answer.texts) or answer.thoughts or answer.calls:
                yield answer
        case _:
            yield from _asked(message, origin)


def _check(message: MessageBody, origin: str) -> None:
    """Refuse blocks that cannot stand in a turn of this role."""
    if not isinstance(message.content, list):
        return
    for number, block in enumerate(message.content):
        is_result = isinstance(block, ToolResultBlock)
        is_answer = isinstance(block, tuple(_ASSISTANT_ONLY.values()))
        is_wrong = is_result if message.role == "assistant" else is_answer
        if is_wrong or (message.role == "system" and is_result):
            where = f"{origin}.content[{number}]"
            kind = "tool_result" if is_result else "tool_use and thinking"
            raise InvalidRequest(
                f"{where}: no {kind} can stand in a message of role {message.role}", param=where
            )


def _asked(message: MessageBody, origin: str) -> Iterator[_Turn]:
    """Yield the results of tools, then the rest of a user's turn."""
    if not isinstance(message.content, list):
        yield _Turn("user", origin, is_marked=False, texts=[message.content or ""])
        return
    others: list[Block] = []
    for number, block in enumerate(message.content):
        if not isinstance(block, ToolResultBlock):
            others.append(block)
            continue
        text = text_of(block.content) or ("Error" if block.is_error else "")
        result = _Turn("tool", f"{origin}.content[{number}]", block.is_marked, [text])
        result.call_id = own_id(block.tool_use_id)
        yield result
    if any(texts := [text_of([block]) for block in others]):
        marked = [number for number, block in enumerate(others, 1) if block.is_marked]
        turn = _Turn("user", origin, bool(marked), texts)
        turn.n_marked = marked[-1] if marked else None
        yield turn


def _answer(message: MessageBody, origin: str, signer: Signer) -> _Turn:
    content = message.content
    if not isinstance(content, list):
        return _Turn("assistant", origin, is_marked=False, texts=[content or ""])
    answer = _Turn("assistant", origin, _is_marked(content), [])
    texts = []
    for block in content:
        match block:
            case ThinkingBlock():
                if signer.verifies(block.thinking, block.signature or ""):
                    answer.thoughts.append(block.thinking)
            case ToolUseBlock():
                answer.calls.append(_call(block))
            case _:
                texts.append(text_of([block]))
    answer.texts = ["".join(texts)]
    return answer


def _call(block: ToolUseBlock) -> JsonObject:
    arguments = as_json(block.input or {}).decode()
    function = {"name": block.name, "arguments": arguments}
    return {"id": own_id(block.id), "type": "function", "function": function}


def _is_marked(content: str | Iterable[Block] | None) -> bool:
    return not (content is None or isinstance(content, str)) and any(
        block.is_marked for block in content
    )


def _ended(turns: list[ChatTurn]) -> Conversation:
    """Return the conversation; an answer at its end is continued, without the spaces behind it."""
    if turns and turns[-1].message["role"] == "assistant":
        *others, last = turns
        if "tool_calls" in last.message:
            raise InvalidRequest(
                f"{last.origin}: each tool_use needs a tool_result in the next message",
                param=last.origin,
            )
        content = last.message["content"].rstrip()
        if content or "reasoning_content" in last.message:
            ended = ChatTurn({**last.message, "content": content}, last.origin, last.is_marked)
            return Conversation([*others, ended], is_continued=True)
        turns = others
    if not turns:
        raise InvalidRequest("messages: there is no text to answer", param="messages")
    return Conversation(turns)
