"""Owns the text in the items of a request: contents of messages and outputs of calls; no I/O."""

from __future__ import annotations

from typing import Any

from app.base.json_types import JsonObject
from app.errors import InvalidRequest

_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_MEDIA = {"input_image": "images", "input_file": "files", "input_audio": "audio"}


def texts_of(content: Any, place: str) -> list[str]:
    """Return the texts of a message's content or of a call's output; null has none.

    Raises:
        InvalidRequest: a part is not text; `param` names it.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise InvalidRequest(f"{place}: must be text or a list of parts", param=place)
    return [_text(part, f"{place}[{index}]") for index, part in enumerate(content)]


def _text(part: Any, place: str) -> str:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{place}: must be an object", param=place)
    kind = part.get("type")
    if isinstance(kind, str) and kind in _MEDIA:
        reason = f"{kind!r} is not supported: this server reads text, not {_MEDIA[kind]}"
        raise InvalidRequest(f"{place}.type: {reason}", param=f"{place}.type")
    field = _TEXTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        reason = f"{kind!r} is not supported: only {', '.join(_TEXTS)} are"
        raise InvalidRequest(f"{place}.type: {reason}", param=f"{place}.type")
    text = part.get(field)
    if not isinstance(text, str):
        raise InvalidRequest(f"{place}.{field}: must be text", param=f"{place}.{field}")
    return text


def as_content(texts: list[str]) -> str | list[JsonObject]:
    """Return texts as the content of a chat message: several stay parts of it."""
    if len(texts) == 1:
        return texts[0]
    return [{"type": "text", "text": text} for text in texts] or ""
