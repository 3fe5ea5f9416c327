"""Owns a model's chat template: compiling it and rendering a conversation into a prompt.

Templates come from model files, so from strangers: every way they fail is `TemplateRefused`, and
`TemplateTooSlow` where only the clock says so.
The names they see are those that `apply_chat_template` of Hugging Face transformers gives them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TypeVar

from jinja2.exceptions import SecurityError, TemplateSyntaxError

from app.base.json_types import JsonObject, without_lone_surrogates
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.template.continuation import (
    cut_at_mark,
    cut_in_thoughts,
    thoughts_of,
    with_mark,
    with_mark_in_thoughts,
    with_thoughts,
)
from app.chat.template.deadline import DeadlinePassed, run_with_deadline
from app.chat.template.helpers import functions_variables, wants_functions, wants_xml_tools
from app.chat.template.sandbox import ChatSandbox
from app.chat.template.traits import TemplateTraits, probe
from app.errors import TemplateRefused, TemplateTooSlow

T = TypeVar("T")

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
DEADLINE_S = 5.0
_MAX_SOURCE_CHARS = 1024 * 1024
_MAX_DATE_FORMAT_CHARS = 200
_PROBE_DEADLINE_S = 30.0  # a probe takes milliseconds: this ends templates that never do

CHATML = """\
{%- set talk = namespace(system='', turns=messages) %}
{%- if messages and messages[0].role == 'system' %}
    {%- set talk.system = messages[0].content %}
    {%- set talk.turns = messages[1:] %}
{%- endif %}
{%- if talk.system or tools %}
    {{- '<|im_start|>system\n' + talk.system }}
    {%- if tools %}
        {{- '\n\n' if talk.system }}
        {{- '# Tools\n\nThese functions can be called, one signature a line:\n<tools>\n' }}
        {%- for tool in tools %}
            {{- tool | tojson + '\n' }}
        {%- endfor %}
        {{- '</tools>\n\nTo call one, write its name and arguments as JSON between tags:\n' }}
        {{- '<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>' }}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in talk.turns %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user' if loop.first or loop.previtem.role != 'tool' }}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {{- '<|im_end|>\n' if loop.last or loop.nextitem.role != 'tool' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\n' if message.content or not loop.first }}
            {{- '<tool_call>\n{"name": ' + call.function.name | tojson + ', "arguments": ' }}
            {%- if call.function.arguments is string %}
                {{- call.function.arguments }}
            {%- else %}
                {{- call.function.arguments | tojson }}
            {%- endif %}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\n' if add_generation_prompt }}
"""
"""The template for models that bring none; tools as Hermes and Qwen show them."""


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the jinja2 text.
        bos_token: text of the model's beginning-of-sequence token, or "".
        eos_token: text of its end-of-sequence token, or "".

    Raises:
        TemplateRefused: the text does not compile; the message names the line.
        TemplateTooSlow: compiling it, or rendering a few words with it, took too long.
    """

    def __init__(self, source: str, *, bos_token: str, eos_token: str) -> None:
        self.source = source
        self._special_tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._sandbox = ChatSandbox()
        if len(source) > _MAX_SOURCE_CHARS:
            raise TemplateRefused(
                f"the chat template is longer than {_MAX_SOURCE_CHARS} characters"
            )
        self._template, self._wants_functions, self._wants_xml_tools = _guarded(
            lambda: (
                self._sandbox.from_string(source),
                wants_functions(self._sandbox, source),
                wants_xml_tools(self._sandbox, source),
            ),
            DEADLINE_S,
            param=None,
        )
        self._no_tools: list[JsonObject] | None = None
        hi = [{"role": "user", "content": "Hi"}]
        if "tools" in source and self._attempt(hi, None) is None:
            self._no_tools = []
            if self._attempt(hi, None) is None:
                self._no_tools = None

    @cached_property
    def traits(self) -> TemplateTraits:
        """What the template can take, found by rendering small conversations; computed once.

        Raises:
            TemplateTooSlow: a rendering was cut off. That decides no trait, as the prompts would
                then depend on how quick the device was when the model was loaded.
        """
        return probe(self._attempt, self.source)

    def _attempt(
        self, conversation: list[JsonObject], tools: list[JsonObject] | None
    ) -> str | None:
        try:
            return self.render(
                conversation,
                tools=tools,
                add_generation_prompt=False,
                template_kwargs={},
                now=datetime.datetime(2024, 7, 26),
                deadline_s=_PROBE_DEADLINE_S,
            )
        except TemplateTooSlow as error:
            raise TemplateTooSlow(f"{error.message} on a conversation of a few words") from None
        except TemplateRefused:
            return None

    def render(
        self,
        conversation: list[JsonObject],
        *,
        tools: list[JsonObject] | None,
        add_generation_prompt: bool,
        template_kwargs: JsonObject,
        continue_final_message: bool = False,
        now: datetime.datetime | None = None,
        deadline_s: float = DEADLINE_S,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> str:
        """Return the prompt of a conversation.

        Args:
            conversation: messages as `app.chat.template.messages.normalise` returns them.
            tools: OpenAI tool objects; None or empty when none are offered. Templates see None
                then, as in transformers, but for those that only take an empty list.
            add_generation_prompt: end with the opening of the assistant's turn.
            template_kwargs: further variables (`enable_thinking`…); cannot replace the others.
            continue_final_message: end inside the last message, right after its text.
            now: the date that `strftime_now` writes; pin it for as long as a conversation lasts,
                or a new day ends every cached prefix. Default: the current time.
            deadline_s: seconds; held in the main thread only (see `app.chat.template.deadline`).
            max_output_bytes: limit of the prompt as UTF-8.

        Raises:
            TemplateRefused: the template raised or wrote too much, or it changes the text of the
                message that is to be continued.
            TemplateTooSlow: it ran for longer than the deadline.
        """
        date = now or datetime.datetime.now()

        def strftime_now(date_format: str) -> str:
            return date.strftime(date_format[:_MAX_DATE_FORMAT_CHARS])

        variables = {
            **(functions_variables(tools, date) if self._wants_functions else {}),
            **({"xml_tools": tools} if self._wants_xml_tools and tools else {}),
            **template_kwargs,
            **self._special_tokens,
            "messages": with_mark(conversation) if continue_final_message else conversation,
            "tools": tools or self._no_tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            "strftime_now": strftime_now,
        }

        def write() -> str:
            text = self._write(variables, max_output_bytes)
            return cut_at_mark(text, conversation) if continue_final_message else text

        return _guarded(write, deadline_s, param="messages")

    def render_in_thoughts(
        self,
        conversation: list[JsonObject],
        tags: ReasoningTags,
        *,
        tools: list[JsonObject] | None,
        template_kwargs: JsonObject,
        now: datetime.datetime | None = None,
    ) -> str:
        """Return the prompt of a conversation, ended right after its last message's reasoning.

        Args:
            conversation: see `render`, as for the others.
            tags: what stands around the model's thoughts.
            tools: as for `render`.
            template_kwargs: as for `render`.
            now: as for `render`.

        Raises:
            InvalidRequest: the reasoning cannot be continued.
            TemplateRefused: the template raised or wrote too much.
        """
        thoughts = thoughts_of(conversation)

        def rendered(shown: list[JsonObject], *, opens: bool) -> str:
            return self.render(
                shown,
                tools=tools,
                add_generation_prompt=opens,
                template_kwargs=template_kwargs,
                now=now,
            )

        if tags.closing not in thoughts:
            with suppress(TemplateRefused):
                marked = rendered(with_mark_in_thoughts(conversation), opens=False)
                found = cut_in_thoughts(marked, thoughts, tags)
                if found is not None:
                    return found
        return with_thoughts(rendered(conversation[:-1], opens=True), thoughts, tags, self.source)

    def _write(self, variables: JsonObject, max_output_bytes: int) -> str:
        self._sandbox.start()
        pieces: list[str] = []
        n_bytes = 0
        for piece in self._template.generate(variables):
            try:
                n_bytes += len(piece) if piece.isascii() else len(piece.encode())
            except UnicodeEncodeError:
                piece = without_lone_surrogates(piece)
                n_bytes += len(piece.encode())
            if n_bytes > max_output_bytes:
                raise OverflowError(f"the prompt is longer than {max_output_bytes} bytes")
            pieces.append(piece)
        return "".join(pieces)


def _guarded(work: Callable[[], T], deadline_s: float, *, param: str | None) -> T:
    """Return `work()`; whatever a template can make it raise becomes `TemplateRefused`."""
    kind = TemplateRefused
    try:
        return run_with_deadline(work, deadline_s)
    except DeadlinePassed:
        kind, reason = TemplateTooSlow, f"it ran for more than {deadline_s:g} s"
    except TemplateSyntaxError as error:
        reason = f"line {error.lineno}: {error.message}"
    except SecurityError as error:
        reason = f"unsafe: {error}"
    except RecursionError:
        reason = "it calls itself too deeply"
    except MemoryError:
        reason = "it needs too much memory"
    except Exception as error:  # a template can raise anything
        reason = str(error) or type(error).__name__
    raise kind(f"Chat template: {reason}", param=param)
