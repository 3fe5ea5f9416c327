"""Owns the schemas of content blocks, and their text; must not know roles or handlers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from app.api.schemas.common import Lenient
from app.base.json_types import JsonObject

BETWEEN_BLOCKS = "\n"
_IGNORED = frozenset({"redacted_thinking", "container_upload", "fallback", "tool_reference"})
_IGNORED_ENDS = ("_tool_use", "_tool_result", "_tool_listing")
_UNREADABLE = "is not supported: the model reads text only"


class Block(Lenient):
    """A content block; `cache_control` marks the end of a prefix worth keeping."""

    cache_control: Any = None

    @property
    def is_marked(self) -> bool:
        """Whether what ends with it is to be cached."""
        return bool(self.cache_control)


class TextBlock(Block):
    """Text."""

    type: Literal["text"]
    text: str


class ThinkingBlock(Block):
    """Reasoning of an earlier answer; dropped unless its signature is this service's."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class ToolUseBlock(Block):
    """A call of an earlier answer."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject | None = None


class TextSource(Lenient):
    """The text of a document."""

    type: Literal["text"]
    data: str


class ContentSource(Lenient):
    """A document in blocks."""

    type: Literal["content"]
    content: str | TextBlocks


def _form_of_source(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"({kind})" if kind in ("text", "content") else None


class DocumentBlock(Block):
    """A document; only the text of one can be read."""

    type: Literal["document"]
    title: str | None = None
    context: str | None = None
    source: Annotated[
        Annotated[TextSource, Tag("(text)")] | Annotated[ContentSource, Tag("(content)")],
        Discriminator(
            _form_of_source,
            custom_error_type="source",
            custom_error_message=(
                'only documents of type "text" and "content" are supported: '
                "the model reads text only"
            ),
        ),
    ]


class SearchResultBlock(Block):
    """What a client's search found."""

    type: Literal["search_result"]
    title: str | None = None
    source: str | None = None
    content: TextBlocks


class UnreadableBlock(Block):
    """An image; refused."""

    @model_validator(mode="before")
    @classmethod
    def _is_refused(cls, value: Any) -> Any:
        raise ValueError(f"'{value['type']}' {_UNREADABLE}")


class IgnoredBlock(Block):
    """A block of Anthropic's own tools, which mean nothing here."""

    type: str


class ToolResultBlock(Block):
    """What a tool returned."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | TextBlocks | None = None
    is_error: bool | None = None


_FORMS = ("text", "thinking", "tool_use", "tool_result", "document", "search_result")
_IMAGES = ("image", "browser_state")


def _form_of(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        return None
    if kind in _FORMS:
        return f"({kind})"
    if kind in _IMAGES:
        return "(image)"
    return "(ignored)" if kind in _IGNORED or kind.endswith(_IGNORED_ENDS) else None


def _form_of_text(value: Any) -> str | None:
    form = _form_of(value)
    return None if form in ("(thinking)", "(tool_use)", "(tool_result)") else form


def _by(form_of: Any, kinds: str) -> Discriminator:
    return Discriminator(
        form_of,
        custom_error_type="block",
        custom_error_message=f"must be an object whose type is one of {kinds}",
    )


AnyText = (
    Annotated[TextBlock, Tag("(text)")]
    | Annotated[DocumentBlock, Tag("(document)")]
    | Annotated[SearchResultBlock, Tag("(search_result)")]
    | Annotated[UnreadableBlock, Tag("(image)")]
    | Annotated[IgnoredBlock, Tag("(ignored)")]
)
TextBlocks = list[Annotated[AnyText, _by(_form_of_text, "text, document, search_result")]]
Blocks = list[
    Annotated[
        AnyText
        | Annotated[ThinkingBlock, Tag("(thinking)")]
        | Annotated[ToolUseBlock, Tag("(tool_use)")]
        | Annotated[ToolResultBlock, Tag("(tool_result)")],
        _by(_form_of, ", ".join(_FORMS)),
    ]
]


def n_blocks(content: Any) -> int:
    """Return the number of blocks in content as it was sent, those within blocks included."""
    count, parts = 0, [content]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            count += len(part)
            parts += [each for each in part if isinstance(each, dict)]
        elif isinstance(part, dict):
            parts += [part.get("content"), part.get("source")]
    return count


def text_of(content: str | Iterable[Block] | None) -> str:
    """Return the text of content; blocks without any are left out."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = (_block_text(block) for block in content)
    return BETWEEN_BLOCKS.join(text for text in texts if text)


def _block_text(block: Block) -> str:
    match block:
        case TextBlock():
            return block.text
        case DocumentBlock(source=source):
            body = source.data if isinstance(source, TextSource) else text_of(source.content)
            return _lines(block.title, block.context, body)
        case SearchResultBlock():
            return _lines(block.title, block.source, text_of(block.content))
        case _:
            return ""


def _lines(*parts: str | None) -> str:
    return "\n".join(part for part in parts if part)
