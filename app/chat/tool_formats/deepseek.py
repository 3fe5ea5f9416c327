"""Owns the DeepSeek V3, V3.1 and R1 way to call tools: a section of calls.

R1 and V3 write `function<sep>name` and the arguments in a code block, V3.1 `name<sep>{…}`. Pure;
must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

from app.chat.tool_formats.base import ToolFormat
from app.chat.tool_formats.reading import Step
from app.chat.tool_formats.sections import SectionParser

_FENCE = "```"


def _tag(words: str) -> str:
    return f"<\uff5c{words}\uff5c>"


class DeepSeekParser(SectionParser):
    """Parses both shapes; see `SectionParser`."""

    section = _tag("tool▁calls▁begin")
    call = _tag("tool▁call▁begin")
    separator = _tag("tool▁sep")
    end_call = _tag("tool▁call▁end")
    end_section = _tag("tool▁calls▁end")
    openers = (section, call)
    closers = (end_section,)

    def _call(self) -> Step[None]:
        name = yield from self._header()
        yield from self._input.expect(self.separator)
        yield from self._input.skip()
        if (yield from self._input.peek()) == "{":
            yield from self._named(name)
            return
        name = yield from self._header()
        yield from self._input.skip()
        yield from self._input.literal(_FENCE, _FENCE + "json")
        yield from self._named(name)
        yield from self._input.skip()
        yield from self._input.literal(_FENCE)


FORMAT = ToolFormat(
    name="deepseek",
    tags=(
        *DeepSeekParser.openers,
        DeepSeekParser.separator,
        DeepSeekParser.end_call,
        *DeepSeekParser.closers,
    ),
    recognises=lambda source: DeepSeekParser.section in source,
    parser=DeepSeekParser,
)
