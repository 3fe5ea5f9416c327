"""Owns ending a prompt inside its last message; must not know how templates are rendered.

The way is that of `continue_final_message` in Hugging Face transformers: a mark goes behind the
message's text, and the prompt ends where the template wrote the mark. Thoughts, which many
templates leave out, can be written behind the opening of an answer instead.
"""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import TemplateError

from app.base.json_types import JsonObject
from app.chat.parsing.reasoning_tags import ReasoningTags, opens_reasoning
from app.errors import InvalidRequest

MARK = "CONTINUE_FINAL_MESSAGE_TAG "
"""Ends in a space, so that it shows whether the template trims what it writes."""


def with_mark(conversation: list[JsonObject]) -> list[JsonObject]:
    """Return a normalised conversation with the mark behind the text of its last message."""
    *earlier, last = conversation
    content = last["content"]
    if isinstance(content, list):
        *parts, _ = content or [None]
        marked: Any = [*parts, {"type": "text", "text": _text(content) + MARK}]
    else:
        marked = _text(content) + MARK
    return [*earlier, {**last, "content": marked}]


def cut_at_mark(prompt: str, conversation: list[JsonObject]) -> str:
    """Return the prompt of a marked conversation up to the mark.

    Args:
        prompt: what the template wrote for `with_mark(conversation)`.
        conversation: without the mark.

    Raises:
        TemplateError: the template changed the last message, so that it has no end in the prompt.
    """
    at = prompt.rfind(MARK.strip())
    if at < 0 or _text(conversation[-1]["content"]).strip() not in prompt:
        raise TemplateError("it changes the last message, which therefore cannot be continued")
    return prompt[:at] if prompt.startswith(MARK, at) else prompt[:at].rstrip()


def with_mark_in_thoughts(conversation: list[JsonObject]) -> list[JsonObject]:
    """Return a normalised conversation whose last message has the mark behind its thoughts."""
    *earlier, last = conversation
    marked = thoughts_of(conversation) + MARK
    names = ("reasoning_content", "thinking", "reasoning")
    return [*earlier, {**last, "content": "", **dict.fromkeys(names, marked)}]


def cut_in_thoughts(prompt: str, thoughts: str, tags: ReasoningTags) -> str | None:
    """Return the prompt of a conversation marked in its thoughts up to the mark.

    None where the template shows no thoughts, or not behind the opening tag alone.
    """
    at = prompt.rfind(MARK.strip())
    if at < 0:
        return None
    begun = prompt[:at] if prompt.startswith(MARK, at) else prompt[:at].rstrip()
    _, opening, shown = begun.rpartition(tags.opening)
    return begun if opening and shown.strip() == thoughts.strip() else None


def with_thoughts(prompt: str, thoughts: str, tags: ReasoningTags, source: str) -> str:
    """Return a prompt that ends in the opening of an answer, gone on with these thoughts.

    Args:
        prompt: what the template wrote; thoughts that it closed at once are opened again.
        thoughts: what the model thought so far.
        tags: what stands around them.
        source: the template.

    Raises:
        InvalidRequest: the thoughts have an end in them.
    """
    if tags.closing in thoughts:
        raise InvalidRequest(
            "The reasoning of the last message has its end in it, and cannot be continued",
            param="continue_final_message",
        )
    if opens_reasoning(prompt, tags):
        return prompt + thoughts
    open_prompt = prompt.rstrip()
    line = "\n" if f"{tags.opening}\n" in source.replace("\\n", "\n") else ""
    if open_prompt.endswith(tags.closing):
        open_prompt = open_prompt.removesuffix(tags.closing).rstrip()
        open_prompt = open_prompt.removesuffix(tags.opening)
    else:
        open_prompt = prompt
    return open_prompt + tags.opening + line + thoughts


def with_closed_thoughts(prompt: str, conversation: list[JsonObject], tags: ReasoningTags) -> str:
    """Return a prompt that ends in a message's text, where the template opened thoughts before it.

    Those that the text itself has begun go on.
    """
    text = str(conversation[-1]["content"])
    if tags.opening in text or not opens_reasoning(prompt, tags, goes_on=True):
        return prompt
    before, opening, after = prompt.rpartition(tags.opening)
    return before + opening + tags.closing + after.lstrip()


def thoughts_of(conversation: list[JsonObject]) -> str:
    """Return the thoughts of the last message; "" without any."""
    thoughts = conversation[-1].get("reasoning_content")
    return thoughts if isinstance(thoughts, str) else ""


def _text(content: Any) -> str:
    """Return the text that is continued: of parts, it is the last one's."""
    if isinstance(content, list):
        return str(content[-1]["text"]) if content else ""
    return content or ""
