"""Owns the way from a conversation to prompt tokens; must not know scheduling or sockets."""

from __future__ import annotations

from typing import Any, Protocol

from app.chat.conversation import normalise
from app.chat.stream_parser import PlainParser, StreamParser
from app.chat.templates import CHATML, ChatTemplate
from app.chat.tool_formats import detect
from app.engine.dates import ConversationDates
from app.errors import ContextOverflow, TemplateRefused
from app.protocol import Generate, Prefill


class Tokenizer(Protocol):
    """What prompts need of a model."""

    @property
    def bos_text(self) -> str:
        """Text of the beginning-of-sequence token."""

    @property
    def eos_text(self) -> str:
        """Text of the end-of-sequence token."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""


class PromptBuilder:
    """Renders conversations with a model's chat template and tokenises them.

    Args:
        tokenizer: the model's vocabulary.
        template_source: Jinja source; None means ChatML.
        n_ctx: tokens the context window holds.

    Raises:
        TemplateRefused: the template does not compile.
    """

    def __init__(self, tokenizer: Tokenizer, template_source: str | None, *, n_ctx: int) -> None:
        source = CHATML if template_source is None else template_source
        self._tokenizer = tokenizer
        self._n_ctx = n_ctx
        self._bos_text = tokenizer.bos_text
        self._template = ChatTemplate(
            source, bos_token=self._bos_text, eos_token=tokenizer.eos_text
        )
        self._format = detect(source)
        self._traits = self._template.traits
        self._dates = ConversationDates()

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts of special tokens that the tool format's parser has to see."""
        return self._format.tags if self._format else ()

    def build(self, command: Generate | Prefill) -> list[int]:
        """Return the prompt tokens of a conversation.

        A `Generate` prompt ends where the assistant's answer begins; a `Prefill` prompt ends
        with the last message, so that it is a prefix of what follows.

        Raises:
            TemplateRefused: the template raised, ran too long or wrote too much.
            InvalidRequest: a message has content that the service cannot show to the model.
            ContextOverflow: the prompt leaves no room for an answer.
        """
        text = self._template.render(
            normalise(command.messages, self._traits),
            tools=command.tools or None,
            add_generation_prompt=isinstance(command, Generate),
            template_kwargs=command.template_kwargs,
            now=self._dates.of(command.messages),
        )
        has_bos = bool(self._bos_text) and text.startswith(self._bos_text)
        tokens = self._tokenizer.tokenize(text, add_special=not has_bos, parse_special=True)
        if not tokens:
            raise TemplateRefused("The chat template wrote an empty prompt", param="messages")
        if len(tokens) >= self._n_ctx:
            raise ContextOverflow(len(tokens), self._n_ctx)
        return tokens

    def parser(self, command: Generate) -> StreamParser:
        """Return a fresh parser for the answer to `command`.

        Calls are looked for where tools are offered, and where the conversation has used some:
        a model may call again although they are offered no longer.
        """
        used = any(message.get("tool_calls") for message in command.messages)
        if self._format is None or not (command.tools or used):
            return PlainParser()
        return self._format.parser({_tool_name(tool) for tool in command.tools})


def _tool_name(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else ""
