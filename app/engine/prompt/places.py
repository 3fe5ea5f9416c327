"""Owns where a prompt may be gone on from in another way; must not know how prompts are made.

A sequence whose state cannot be cut goes on from a saved state only. So the lengths are found at
which other prompts part from this one: those with another last message of the user, and those of
the turns that follow. Both are found by rendering such a prompt and comparing tokens.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.base.json_types import JsonObject
from app.base.prefix import common_prefix
from app.engine.prompt.conversation import Conversation
from app.errors import TemplateRefused, TemplateTooSlow
from app.protocol import CacheMark, PromptEnd

ANSWER = "Well."
MIN_APART = 16
MAX_MARKS = 4
_SYSTEM_ROLES = ("system", "developer")

Write = Callable[
    [list[JsonObject], Conversation, PromptEnd, datetime.datetime], tuple[str, list[int]]
]
"""Returns text and tokens of a conversation with other messages; a template may refuse them."""


def shared(
    write: Write,
    messages: Sequence[JsonObject],
    conversation: Conversation,
    began: datetime.datetime,
) -> list[int]:
    """Return the tokens that all conversations beginning with `messages` share.

    They are found by going on in two ways that have nothing in common. Empty where the template
    takes no user message there.

    Raises:
        TemplateTooSlow: the deadline came first, which tells nothing of the template.
    """
    try:
        ways = [
            write([*messages, _user(text)], conversation, "closed", began)[1]
            for text in ("Hello", "1")
        ]
    except TemplateTooSlow:
        raise
    except TemplateRefused:
        return []
    return ways[0][: common_prefix(*ways)]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about a prompt.

    Args:
        places: those worth saving, in their order.
        n_history: leading tokens that the next turn's prompt begins with; 0 where not known.
        later: text of such a prompt, in which the answer says `ANSWER`; "" where not known.
    """

    places: tuple[int, ...]
    n_history: int
    later: str


def find(
    write: Write,
    conversation: Conversation,
    tokens: list[int],
    n_system: int,
    began: datetime.datetime,
) -> Found:
    """Return the places of a prompt, and how it is written in the next turn's.

    There the prompt's end, which opens the answer, is often another, and thoughts between calls
    are left out. Thoughts of the answer itself do not come back from all clients.

    Args:
        write: renders other conversations.
        conversation: what the prompt shows.
        tokens: the prompt.
        n_system: those of them that depend on instructions and tools only.
        began: the date that the template sees.
    """
    answer = [] if conversation.is_continued else [{"role": "assistant", "content": ANSWER}]
    messages = [*conversation.messages, *answer, _user("And then?")]
    later, later_tokens = _written(write, messages, conversation, began)
    n_history = common_prefix(later_tokens, tokens)
    question = 0
    others = _with_other_question(conversation, n_system)
    if others:
        question = common_prefix(_written(write, others, conversation, began)[1], tokens)
    places = spread(len(tokens), n_system, question=question, n_history=n_history)
    return Found(places, n_history, later)


def spread(n_tokens: int, n_system: int, *, question: int, n_history: int) -> tuple[int, ...]:
    """Return the places in a prompt that are worth saving, in their order.

    Args:
        n_tokens: the prompt's; its last token is not prefilled with the others.
        n_system: those that depend on instructions and tools only; saved anyway.
        question: what it shares with prompts that have another last message of the user.
        n_history: what it shares with that of the next turn; saved however near others are.
    """
    kept = max(n_system, min(n_history, n_tokens - 1))
    is_apart = abs(question - kept) >= MIN_APART
    is_inside = n_system + MIN_APART <= question < n_tokens - 1
    places = {kept, question} if is_apart and is_inside else {kept}
    return tuple(sorted(places - {n_system}))


def _with_other_question(conversation: Conversation, n_system: int) -> list[JsonObject]:
    """Return the messages up to the user's last one, and another instead of it.

    Empty where there is none, or only what all conversations share before it.
    """
    messages = conversation.messages
    at = next((at for at in reversed(range(len(messages))) if _role(messages[at]) == "user"), -1)
    is_first = all(_role(message) in _SYSTEM_ROLES for message in messages[:at])
    if at < 0 or (is_first and n_system):
        return []
    return [*messages[:at], {**messages[at], "content": _other(messages[at].get("content"))}]


def marked(
    write: Write,
    conversation: Conversation,
    tokens: list[int],
    n_system: int,
    marks: Sequence[CacheMark],
    began: datetime.datetime,
) -> tuple[int, ...]:
    """Return the lengths at which the last marks of a prompt are, in their order.

    They are found by going on in another way from there; those at which a template takes no other
    way are left out.

    Args:
        write: renders other conversations.
        conversation: what the prompt shows.
        tokens: the prompt.
        n_system: those of them that depend on instructions and tools only.
        began: the date that the template sees.
    """
    lengths = set()
    for mark in marks[-MAX_MARKS:]:
        others = _from_mark(conversation.messages, mark)
        n_tokens = n_system
        if others:
            found = _written(write, others, conversation, began, "closed")[1]
            n_tokens = common_prefix(found, tokens)
        lengths.add(min(n_tokens, len(tokens) - 1))
    return tuple(sorted(lengths - {0}))


def with_marks(places: tuple[int, ...], n_system: int, marks: tuple[int, ...]) -> tuple[int, ...]:
    """Return places, and the marks that are not just behind one of them or the instructions."""
    known = (n_system, *places)
    apart = [mark for mark in marks if not any(0 <= mark - at < MIN_APART for at in known)]
    return tuple(sorted({*places, *apart}))


def _from_mark(messages: list[JsonObject], mark: CacheMark) -> list[JsonObject]:
    """Return a conversation that is another behind a mark; empty behind instructions alone."""
    at, n_parts = max(0, mark.messages), max(0, mark.parts)
    content = messages[at].get("content") if at < len(messages) else None
    if n_parts or mark.characters > 0:
        begun = _begun(content, n_parts, mark.characters)
        if begun is not None:
            return [*messages[:at], {**messages[at], "content": begun}]
        at += 1
    before = messages[:at]
    if all(_role(message) in _SYSTEM_ROLES for message in before):
        return []
    if _role(before[-1]) != "assistant":
        return before
    following = messages[at].get("content") if at < len(messages) else ""
    return [*before, _user(_other(following))]


def _begun(content: Any, n_parts: int, n_characters: int) -> Any:
    """Return a message's content up to a mark, and something else; None where nothing follows."""
    if isinstance(content, str) and 0 < n_characters < len(content):
        return content[:n_characters] + _other(content[n_characters:])
    if isinstance(content, list) and 0 < n_parts < len(content):
        return [*content[:n_parts], {"type": "text", "text": _other(content[n_parts:])}]
    return None


def _other(content: Any) -> str:
    """Return a text that begins in another way than a message's content, in its first token too."""
    begins_alike = _first_text(content).lstrip()[:1] in ("H", "h")
    return "1" if begins_alike else "Hello"


def _written(
    write: Write,
    messages: list[JsonObject],
    conversation: Conversation,
    began: datetime.datetime,
    end: PromptEnd = "opened",
) -> tuple[str, list[int]]:
    try:
        return write(messages, conversation, end, began)
    except TemplateRefused:
        return "", []


def _role(message: JsonObject) -> Any:
    return message.get("role")


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}


def _first_text(content: Any) -> str:
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return next((text for text in texts if isinstance(text, str)), "")
    return content if isinstance(content, str) else ""
