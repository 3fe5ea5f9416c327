"""Owns the page that says which kinds of conversations each chat template knows."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from app.chat.template.chat_template import ChatTemplate
from app.chat.template.messages import normalise
from app.chat.template.tools import written_with
from app.chat.tools_as_text import format_for, presented
from app.errors import TemplateRefused
from scripts.template_table.shapes import SHAPES, JsonObject, Rendering, Shape

KNOWN, AS_TEXT, UNKNOWN = "ok", "text", "\N{EN DASH}"
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
    try:
        template = ChatTemplate(source, **_TOKENS)
    except TemplateRefused:
        return _line([path.stem, UNKNOWN, *(UNKNOWN for _ in SHAPES)])
    name = format_for(source, template.traits).name
    return _line([path.stem, name, *(_cell(template, shape) for shape in SHAPES)])


def _cell(template: ChatTemplate, shape: Shape) -> str:
    if knows(template, shape):
        return KNOWN
    return AS_TEXT if knows(template, shape, helped=True) else UNKNOWN


def knows(template: ChatTemplate, shape: Shape, *, helped: bool = False) -> bool:
    """Return whether the template writes conversations of this shape.

    Args:
        helped: what the template cannot show is put into the messages as text, as the server does.
    """
    other = written(template, shape.unlike, helped=helped) if shape.unlike else None
    for way in shape.ways:
        text = written(template, way, helped=helped)
        if text is not None and text != other and all(shown in text for shown in shape.shown):
            return True
    return False


def written(template: ChatTemplate, how: Rendering, *, helped: bool = False) -> str | None:
    """Return the prompt, or None where the template refuses the conversation."""
    traits = template.traits
    messages, tools = normalise(how.messages, traits), how.tools
    if helped:
        known = format_for(template.source, traits)
        messages, tools = presented(messages, tools, known, traits)

    def write(tools: list[JsonObject] | None) -> str:
        return template.render(
            messages,
            tools=tools,
            add_generation_prompt=how.add_generation_prompt,
            continue_final_message=how.continue_final_message,
            template_kwargs=how.template_kwargs,
            now=_DATE,
        )

    try:
        return written_with(write, tools, traits.refused_gaps) if helped else write(tools)
    except TemplateRefused:
        return None
