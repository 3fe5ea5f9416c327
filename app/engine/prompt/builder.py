"""Owns the way from a conversation to prompt tokens; must not know scheduling or sockets."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from app.base.json_types import JsonObject
from app.base.special_token import SpecialToken, SplitRules
from app.chat.parsing.reasoning_tags import ReasoningTags, detect_reasoning
from app.chat.parsing.stream_parser import StreamParser
from app.chat.parsing.wrappers import AnswerMarks, detect_marks
from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.continuation import with_closed_thoughts
from app.chat.template.messages import normalise
from app.chat.template.tools import written_with
from app.chat.tool_formats import ToolFormat
from app.chat.tools_as_text import format_for, presented
from app.engine.prompt.answer_parsers import AnswerParsers
from app.engine.prompt.conversation import NO_CONVERSATION, Conversation, read_conversation
from app.engine.prompt.conversation_date import ConversationDates
from app.engine.prompt.generated_turns import GeneratedTurns
from app.engine.prompt.history import NO_HISTORY, AnswerProbe, History, goes_on
from app.engine.prompt.meaning import Meaning, meaning_of
from app.engine.prompt.places import ANSWER, find, marked, shared, with_marks
from app.engine.prompt.raw_prompt import checked, raw_tokens
from app.engine.prompt.special_texts import Rendered, SpecialTexts, sought_by
from app.engine.prompt.system_prefix import SystemPrefixes
from app.engine.prompt.token_memo import Tokenizer as Tokenizer
from app.engine.prompt.token_memo import TokenMemo
from app.errors import ContextOverflow, InvalidRequest, LoadParamsRefused, TemplateRefused
from app.protocol import CacheMark, CountTokens, Generate, Prefill, PromptEnd, RawPrompt, Render


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation, or a raw prompt.

    Args:
        tokens: what the model reads.
        text: the same as the template wrote it, with stand-ins for the special tokens that are not
            meant (see `app.engine.prompt.special_texts`); empty where none did.
        n_system: leading tokens that depend on the instructions and tools only.
        conversation: what was rendered; empty where nothing was.
        places: lengths after which other prompts may go on in another way, besides `n_system`;
            empty where they were not looked for.
        marks: lengths at which the command's marks are.
        history: what later prompts keep of this one and of the answer to it.
    """

    tokens: list[int]
    text: str
    n_system: int
    conversation: Conversation = NO_CONVERSATION
    places: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()
    history: History = NO_HISTORY


class PromptBuilder:
    """Renders conversations with a model's chat template and tokenises them.

    Args:
        tokenizer: the model's vocabulary.
        template_source: Jinja source; None means ChatML.
        n_ctx: tokens the context window holds.
        tool_format: name of the format of tool calls; None leaves that to the template.
        special_tokens: those that are text in what clients write, instructions excepted.
        finds_places: whether to look for places, which takes up to two more renderings of each
            prompt: of use where a sequence goes on from saved states only.
        split_rules: where the tokeniser splits texts; None where that is not known.
        system_prompt: instructions for conversations that begin without any.

    Attributes:
        tool_format: how the model writes tool calls.
        reasoning: what stands around its thoughts; None where it does not think, or in messages
            of their own.
        marks: what it writes around its text; None where it writes nothing.
        template_takes: whether the template takes some things, by llama-server's names.
        closing_of_thoughts: what ends its thoughts; "" where it is not known to think.

    Raises:
        TemplateRefused: the template does not compile, or was too slow to be tried.
        LoadParamsRefused: there is no tool format of that name.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template_source: str | None,
        *,
        n_ctx: int,
        tool_format: str | None = None,
        special_tokens: Iterable[SpecialToken] = (),
        finds_places: bool = False,
        split_rules: SplitRules | None = None,
        system_prompt: str = "",
    ) -> None:
        source = CHATML if template_source is None else template_source
        written = (source, tokenizer.bos_text, tokenizer.eos_text, *tokenizer.end_texts)
        self._tokenizer = TokenMemo(tokenizer, split_rules, written)
        self._n_ctx = n_ctx
        self._read = partial(read_conversation, system_prompt=system_prompt)
        self._bos_text = tokenizer.bos_text
        self._template = ChatTemplate(
            source, bos_token=self._bos_text, eos_token=tokenizer.eos_text
        )
        self._traits = self._template.traits
        self.template_takes = self._traits.capabilities
        try:
            self.tool_format: ToolFormat = format_for(source, self._traits, tool_format)
        except KeyError as error:
            param = "load_model_configs.tool_format"
            raise LoadParamsRefused(error.args[0], param=param) from None
        self.reasoning: ReasoningTags | None = detect_reasoning(source)
        in_answers = {*self.tags, *sought_by(source)} - set(tokenizer.end_texts)
        self._special_texts = SpecialTexts(special_tokens, in_answers, source)
        self.marks: AnswerMarks | None = detect_marks(source)
        self._answer_parsers = AnswerParsers(self.tool_format, self.reasoning, self.marks)
        messages = self.tool_format.thoughts
        self._tags_of_thoughts = messages.tags if messages is not None else self.reasoning
        self._dates = ConversationDates()
        self._system_prefixes = SystemPrefixes(partial(shared, self._write))
        self._finds_places = finds_places
        tags = self._tags_of_thoughts
        self.closing_of_thoughts = tags.closing if tags is not None else ""
        self._probe = AnswerProbe(self._render, self.closing_of_thoughts)
        self.turns = GeneratedTurns(self._meaning, tokenizer.end_texts)

    def prepare(self) -> None:
        """Look through the special tokens, which otherwise waits for the first conversation."""
        self._special_texts.prepare()
        self._tokenizer.prepare()

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts of special tokens that parsers of answers have to see."""
        return (*self.tool_format.tags, *(self.reasoning.tokens if self.reasoning else ()))

    def build(self, command: Generate | Prefill) -> Prompt:
        """Return the prompt of a conversation, or the raw prompt that a command has instead.

        A `Generate` prompt ends where the assistant's answer begins or goes on. A `Prefill` prompt
        is what the next `Generate` with these messages begins with. Where the conversation has
        answers that were generated here, their tokens are the generated ones. Nothing is kept of
        a prompt that is refused.

        Raises:
            TemplateRefused: the template raised, ran too long or wrote too much.
            InvalidRequest: a message has content that the service cannot show to the model, or a
                raw prompt cannot be read.
            ContextOverflow: the prompt leaves no room for an answer.
        """
        if isinstance(command, Generate) and command.prompt is not None:
            return self._raw(command.prompt)
        conversation, is_prefill = self._read(command), isinstance(command, Prefill)
        began = self._dates.of(conversation.messages)
        if isinstance(command, Generate) and command.context:
            return self._after(command.context, conversation, began)
        text, tokens = "", self._ready(conversation, began) if is_prefill else []
        is_system = bool(tokens)
        if not is_system:
            text, tokens = self._written(conversation, began, is_prefill=is_prefill)
        if not tokens:
            raise TemplateRefused("The chat template wrote an empty prompt", param="messages")
        self._check_room(tokens, param="messages")
        self._dates.keep(conversation.messages, began)
        if is_system:
            return Prompt(tokens, text, len(tokens), conversation)
        n_system = self._system_prefixes.length(conversation, tokens, began)
        marks = [] if isinstance(command, Prefill) else command.cache_marks
        return self._with_history(Prompt(tokens, text, n_system, conversation), began, marks)

    def _with_history(
        self, prompt: Prompt, began: datetime.datetime, asked: list[CacheMark]
    ) -> Prompt:
        """Return a prompt with its places and marks, and with what later prompts keep of it."""
        conversation, tokens, n_system = prompt.conversation, prompt.tokens, prompt.n_system
        marks = marked(self._write, conversation, tokens, n_system, asked, began)
        answers = self._probe.answers(conversation)
        if not self._finds_places:
            return replace(prompt, marks=marks, history=History(len(tokens), 0, answers))
        found = find(self._write, conversation, tokens, n_system, began)
        if found.later and not conversation.is_continued:
            text = goes_on(prompt.text, found.later, ANSWER, closing=self.closing_of_thoughts)
            answers = replace(answers, text=text)
        history = History(len(tokens), found.n_history, answers)
        places = with_marks(found.places, n_system, marks)
        return replace(prompt, places=places, marks=marks, history=history)

    def _raw(self, prompt: RawPrompt) -> Prompt:
        tokens = raw_tokens(prompt, self._tokenizer, n_ctx=self._n_ctx)
        self._check_room(tokens, param="prompt")
        return Prompt(tokens, "", 0)

    def _after(
        self, context: list[int], conversation: Conversation, began: datetime.datetime
    ) -> Prompt:
        """Return the prompt of a turn that follows the tokens of earlier ones."""
        turn = conversation.as_later_turn()
        rendered = self._render(turn.messages, turn, "opened", began)
        tokens = self._piece(rendered, turn.behind_answer(rendered.text))
        has_end = tokens[:1] == context[-1:]  # the answer's
        tokens = checked(context, self._tokenizer, "context") + tokens[has_end:]
        self._check_room(tokens, param="context")
        return Prompt(tokens, rendered.text, 0, turn)

    def _check_room(self, tokens: list[int], *, param: str) -> None:
        if len(tokens) >= self._n_ctx:
            raise ContextOverflow(len(tokens), self._n_ctx, param=param)

    def render(self, command: Generate | Render | CountTokens) -> str:
        """Return the prompt of a conversation as its template writes it.

        Raises:
            TemplateRefused: the template raised, ran too long or wrote too much.
            InvalidRequest: a message has content that the service cannot show to the model.
        """
        rendered = self._rendered(command)
        return rendered.stand_ins.show(rendered.text) if rendered.stand_ins else rendered.text

    def _rendered(self, command: Generate | Render | CountTokens) -> Rendered:
        conversation = self._read(command)
        began = self._dates.of(conversation.messages)
        return self._render(conversation.messages, conversation, conversation.prompt_end, began)

    def count(self, command: CountTokens) -> int:
        """Return how many tokens a prompt has; the context may be too small for it.

        Raises:
            TemplateRefused: the template raised, ran too long or wrote too much.
            InvalidRequest: a message has content that the service cannot show to the model, or a
                raw prompt cannot be read.
        """
        if command.prompt is not None:
            return len(raw_tokens(command.prompt, self._tokenizer, n_ctx=self._n_ctx))
        return len(self._tokens(self._rendered(command)))

    def forget(self) -> None:
        """Forget heads, dates and tokens of texts, which cost little to find out anew."""
        self._tokenizer.forget()
        self._system_prefixes.forget()
        self._dates.forget()

    def _ready(self, conversation: Conversation, began: datetime.datetime) -> list[int]:
        """Return what the conversations share that a prefill prepares for; else nothing."""
        if conversation.is_asking:
            return []
        return shared(self._write, conversation.messages, conversation, began)

    def _written(
        self, conversation: Conversation, began: datetime.datetime, *, is_prefill: bool
    ) -> tuple[str, list[int]]:
        end = conversation.prompt_end
        if is_prefill and not conversation.is_asking:
            end = "closed"
        text, tokens = self._write(conversation.messages, conversation, end, began)
        if is_prefill and len(tokens) > 1:
            tokens = tokens[:-1]  # the last: with the answer
        return text, tokens

    def _write(
        self,
        messages: list[JsonObject],
        conversation: Conversation,
        end: PromptEnd,
        began: datetime.datetime,
    ) -> tuple[str, list[int]]:
        rendered = self._render(messages, conversation, end, began)
        return rendered.text, self._tokens(rendered)

    def _render(
        self,
        messages: list[JsonObject],
        conversation: Conversation,
        end: PromptEnd,
        began: datetime.datetime,
    ) -> Rendered:
        shown, tools, stand_ins = self._special_texts.hide(
            normalise(messages, self._traits), conversation.tools, conversation.template_kwargs
        )
        shown, offered = presented(shown, tools or None, self.tool_format, self._traits)

        def write(tools: list[JsonObject] | None) -> str:
            if end == "continued_reasoning":
                return self._in_thoughts(shown, tools, conversation, began)
            written = self._template.render(
                shown,
                tools=tools,
                add_generation_prompt=end == "opened",
                continue_final_message=end == "continued",
                template_kwargs=conversation.template_kwargs,
                now=began,
            )
            if end != "continued" or self.reasoning is None:
                return written
            return with_closed_thoughts(written, shown, self.reasoning)

        text = written_with(write, offered, self._traits.refused_gaps)
        return Rendered(stand_ins.unescape(text) if stand_ins else text, stand_ins)

    def _in_thoughts(
        self,
        shown: list[JsonObject],
        tools: list[JsonObject] | None,
        conversation: Conversation,
        began: datetime.datetime,
    ) -> str:
        if self._tags_of_thoughts is None:
            raise InvalidRequest(
                "This model is not known to think: its reasoning cannot be continued",
                param="continue_final_message",
            )
        return self._template.render_in_thoughts(
            shown,
            self._tags_of_thoughts,
            tools=tools,
            template_kwargs=conversation.template_kwargs,
            now=began,
        )

    def _tokens(self, rendered: Rendered) -> list[int]:
        spliced = self.turns.splice(rendered.text)
        tokens = spliced.whole(partial(self._piece, rendered)) if spliced is not None else None
        if tokens is not None:
            return tokens
        has_bos = bool(self._bos_text) and rendered.text.startswith(self._bos_text)
        return self._special_texts.tokens(rendered, self._tokenizer, add_special=not has_bos)

    def _piece(self, rendered: Rendered, text: str) -> list[int]:
        part = replace(rendered, text=text)
        return self._special_texts.tokens(part, self._tokenizer, add_special=False)

    def parser(self, command: Generate, prompt: Prompt) -> StreamParser:
        """Return a fresh parser for the answer to `command`, whose prompt is `prompt`.

        Calls are looked for where tools are offered, and where the conversation has used some:
        a model may call again although they are offered no longer. What follows a raw prompt is
        plain text.
        """
        return self._answer_parsers.parser(command, prompt.text, prompt.conversation)

    def _meaning(self, text: str) -> Meaning:
        return meaning_of(text, self.tool_format.parser(None))
