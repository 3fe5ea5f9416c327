"""Owns choosing what parses the answers of a model; must not know how prompts are made."""

from __future__ import annotations

from app.base.json_types import JsonObject
from app.chat.parsing.reasoning import ReasoningParser
from app.chat.parsing.reasoning_tags import ReasoningTags, opened_text
from app.chat.parsing.stream_parser import PlainParser, StreamParser
from app.chat.parsing.unsplit import BegunParser, ShownReasoningParser
from app.chat.parsing.wrappers import (
    AnswerMarks,
    OneCallParser,
    RequiredCallsParser,
    WrapperParser,
)
from app.chat.tool_formats import ToolFormat
from app.chat.tool_formats.syntax.messages import MessagesParser
from app.engine.prompt.conversation import Conversation
from app.protocol import Generate


class AnswerParsers:
    """Makes the parsers for one model's answers.

    Args:
        tool_format: how it writes calls.
        reasoning: what stands around its thoughts, if they are no messages of their own.
        marks: what stands around its text.
    """

    def __init__(
        self, tool_format: ToolFormat, reasoning: ReasoningTags | None, marks: AnswerMarks | None
    ) -> None:
        self._format = tool_format
        self._reasoning = reasoning
        self._marks = marks

    def parser(
        self, command: Generate, prompt_text: str, conversation: Conversation
    ) -> StreamParser:
        """Return a fresh parser for the answer to `command`.

        Args:
            command: the command.
            prompt_text: its prompt as the template wrote it.
            conversation: what the prompt shows.
        """
        if command.prompt is not None:
            return PlainParser()
        messages, tools = conversation.messages, conversation.tools
        used = any(message.get("tool_calls") for message in messages)
        parser: StreamParser = PlainParser()
        if self._format.always or tools or used:
            any_used = used and not tools
            parser = self._format.parser(None if any_used else dict(map(_signature, tools)))
        is_split, thoughts = command.reasoning.is_split, self._format.thoughts
        if isinstance(parser, MessagesParser):
            parser.keeps_thoughts = not is_split
        marks = self._marks
        if marks is not None and (is_split or not marks.opens_thoughts):
            is_open = bool(marks.opening) and prompt_text.rstrip().endswith(marks.opening)
            parser = WrapperParser(parser, marks, is_open=is_open)
        if command.tool_choice.is_required:
            parser = RequiredCallsParser(parser)
        if not command.tool_choice.parallel:
            parser = OneCallParser(parser)
        goes_on = conversation.is_continued
        if thoughts is not None and conversation.prompt_end == "continued_reasoning":
            return BegunParser(parser, thoughts.tags.opening)
        if self._reasoning is None:
            return parser
        opened = opened_text(prompt_text, self._reasoning, goes_on=goes_on)
        if is_split:
            is_closed = not goes_on and prompt_text.rstrip().endswith(self._reasoning.closing)
            return ReasoningParser(
                parser,
                self._reasoning,
                is_open=bool(opened),
                is_closed=is_closed,
                goes_on=goes_on,
            )
        if opened and goes_on:
            opened = self._reasoning.opening  # the client has the rest
        return ShownReasoningParser(parser, self._reasoning, opened=opened, goes_on=goes_on)


def _signature(tool: JsonObject) -> tuple[str, JsonObject]:
    """Return a tool's name and the schema of its parameters."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return "", {}
    schema = function.get("parameters")
    return str(function.get("name", "")), schema if isinstance(schema, dict) else {}
