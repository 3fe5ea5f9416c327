"""Owns where a prompt may be gone on from in another way; must not know how prompts are made.

A sequence whose state cannot be cut goes on from a saved state only. So the lengths are found at
which other prompts part from this one: those with another last message of the user, and those of
the turns that follow. Both are found by rendering such a prompt and comparing tokens.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

from app.base.json_types import JsonObject
from app.base.prefix import common_prefix
from app.engine.prompt.conversation import Conversation
from app.errors import TemplateRefused, TemplateTooSlow
from app.protocol import PromptEnd

MIN_APART = 16
_SYSTEM_ROLES = ("system", "developer")

TokensOf = Callable[[Sequence[JsonObject], Conversation, PromptEnd, datetime.datetime], list[int]]
"""Returns the tokens of a conversation with other messages; a template may refuse them."""


def shared(
    tokens_of: TokensOf,
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
            tokens_of([*messages, _user(text)], conversation, "closed", began)
            for text in ("Hello", "1")
        ]
    except TemplateTooSlow:
        raise
    except TemplateRefused:
        return []
    return ways[0][: common_prefix(*ways)]


def find(
    tokens_of: TokensOf,
    conversation: Conversation,
    tokens: list[int],
    n_system: int,
    began: datetime.datetime,
) -> tuple[tuple[int, ...], int]:
    """Return the places of a prompt that are worth saving, and what the next turn's shares with it.

    The latter is 0 where it is not known.

    Args:
        tokens: the prompt.
        n_system: those of them that depend on instructions and tools only.
    """
    n_history = _n_in_history(tokens_of, conversation, tokens, began)
    question = _start_of_question(tokens_of, conversation, tokens, n_system, began)
    return spread(len(tokens), n_system, question=question, n_history=n_history), n_history


def spread(n_tokens: int, n_system: int, *, question: int, n_history: int) -> tuple[int, ...]:
    """Return the places in a prompt that are worth saving, in their order.

    Args:
        n_tokens: the prompt's; its last token is not prefilled with the others.
        n_system: those that depend on instructions and tools only; saved anyway.
        question: what it shares with prompts that have another last message of the user.
        n_history: what it shares with that of the next turn; saved however near others are.
    """
    kept = max(n_system, min(n_history, n_tokens - 2))
    is_apart = abs(question - kept) >= MIN_APART
    is_inside = n_system + MIN_APART <= question < n_tokens - 1
    places = {kept, question} if is_apart and is_inside else {kept}
    return tuple(sorted(places - {n_system}))


def _start_of_question(
    tokens_of: TokensOf,
    conversation: Conversation,
    tokens: list[int],
    n_system: int,
    began: datetime.datetime,
) -> int:
    """Return what a prompt shares with those that have another last message of the user.

    0 where that is not known, or no more than all conversations share.
    """
    messages = conversation.messages
    at = next((at for at in reversed(range(len(messages))) if _role(messages[at]) == "user"), -1)
    is_first = all(_role(message) in _SYSTEM_ROLES for message in messages[:at])
    if at < 0 or (is_first and n_system):
        return 0
    # The other text begins in another way, and so does its first token.
    begins_alike = _first_text(messages[at].get("content")).lstrip()[:1] in ("H", "h")
    other = {**messages[at], "content": "1" if begins_alike else "Hello"}
    return _n_shared(tokens_of, [*messages[:at], other], conversation, tokens, began)


def _n_in_history(
    tokens_of: TokensOf, conversation: Conversation, tokens: list[int], began: datetime.datetime
) -> int:
    """Return what a prompt shares with that of the next turn, when thoughts do not come back.

    The prompt's end, which opens the answer, is often written in another way then, and thoughts
    between calls are left out. 0 where it is not known.
    """
    answer = [] if conversation.is_continued else [{"role": "assistant", "content": "Well."}]
    later = [*conversation.messages, *answer, _user("And then?")]
    return _n_shared(tokens_of, later, conversation, tokens, began)


def _n_shared(
    tokens_of: TokensOf,
    messages: list[JsonObject],
    conversation: Conversation,
    tokens: list[int],
    began: datetime.datetime,
) -> int:
    try:
        return common_prefix(tokens_of(messages, conversation, "opened", began), tokens)
    except TemplateRefused:
        return 0


def _role(message: JsonObject) -> Any:
    return message.get("role")


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}


def _first_text(content: Any) -> str:
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return next((text for text in texts if isinstance(text, str)), "")
    return content if isinstance(content, str) else ""
