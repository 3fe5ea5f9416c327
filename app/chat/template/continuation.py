"""Owns ending a prompt inside its last message; must not know how templates are rendered.

The way is that of `continue_final_message` in Hugging Face transformers: a mark goes behind the
message's text, and the prompt ends where the template wrote the mark.
"""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import TemplateError

from app.base.json_types import JsonObject

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


def _text(content: Any) -> str:
    """Return the text that is continued: of parts, it is the last one's."""
    if isinstance(content, list):
        return str(content[-1]["text"]) if content else ""
    return content or ""
