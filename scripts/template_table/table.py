"""Owns the page that says which kinds of conversations each chat template knows."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from app.chat.conversation import normalise
from app.chat.templates import ChatTemplate
from app.chat.tool_formats import detect
from app.errors import TemplateRefused
from scripts.template_table.shapes import SHAPES, Rendering, Shape

KNOWN, UNKNOWN = "ok", "\N{EN DASH}"
_DATE = datetime.datetime(2025, 3, 9, 12, 0)

_PAGE = Path(__file__).with_name("page.md")
_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def page(paths: Sequence[Path]) -> str:
    """Return the page about the templates in these files, as Markdown."""
    heads = ["template", "format", *(shape.name for shape in SHAPES)]
    columns = [f"- `{shape.name}`: {shape.meaning}" for shape in SHAPES]
    lines = [_line(heads), _line(["---"] * len(heads)), *map(_row, paths)]
    text = _PAGE.read_text(encoding="utf-8")
    return text.replace("COLUMNS", "\n".join(columns)).replace("TABLE", "\n".join(lines))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(path: Path) -> str:
    source = path.read_text(encoding="utf-8")
    tool_format = detect(source)
    name = tool_format.name if tool_format else UNKNOWN
    try:
        template = ChatTemplate(source, **_TOKENS)
    except TemplateRefused:
        return _line([path.stem, name, *(UNKNOWN for _ in SHAPES)])
    cells = (KNOWN if knows(template, shape) else UNKNOWN for shape in SHAPES)
    return _line([path.stem, name, *cells])


def knows(template: ChatTemplate, shape: Shape) -> bool:
    """Return whether the template writes conversations of this shape."""
    other = written(template, shape.unlike) if shape.unlike else None
    for way in shape.ways:
        text = written(template, way)
        if text is not None and text != other and all(shown in text for shown in shape.shown):
            return True
    return False


def written(template: ChatTemplate, how: Rendering) -> str | None:
    """Return the prompt, or None where the template refuses the conversation."""
    try:
        return template.render(
            normalise(how.messages, template.traits),
            tools=how.tools,
            add_generation_prompt=how.add_generation_prompt,
            continue_final_message=how.continue_final_message,
            template_kwargs=how.template_kwargs,
            now=_DATE,
        )
    except TemplateRefused:
        return None
