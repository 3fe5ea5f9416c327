"""Owns models that answer by a script, each in the way of one tool format, and what comes of it.

A request is read as over HTTP; the engine around the model is the real one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import msgspec

from app.chat.grammar.lark import Grammar
from app.chat.template.chat_template import CHATML
from app.chat.tool_formats import FORMATS, ToolFormat
from app.chat.tool_formats.base import ToolSpec
from app.chat.tools_as_text import GENERIC
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.prompt.builder import Prompt, PromptBuilder
from app.errors import InvalidRequest
from app.protocol import (
    Event,
    Failed,
    Finished,
    Generate,
    Prefill,
    ReasoningDelta,
    TextDelta,
    TokenLogprobs,
    TokensGenerated,
    ToolCallDelta,
    ToolCallStart,
)
from tests.api.requests import command
from tests.engine.constrain.test_planner import Tagged
from tests.engine.constrain.vocabulary import WORDS, allows
from tests.engine.fake_engine import Engine, NoGuidance
from tests.engine.fake_llama import HistorySampler, LetterModel, NoPrototypes, TokenPrompts

BY_NAME: dict[str, ToolFormat] = {known.name: known for known in (*FORMATS, GENERIC)}
# What their templates contain that tells of thoughts and marks; the others have `<think>`.
_MARKS = {
    "apertus": "<|inner_prefix|>",
    "command-r7b": "<|START_THINKING|> <|START_RESPONSE|>",
    "gemma": "<|channel>thought",
    "granite": "</think> <response></response>",
    "hunyuan": "</think{}>",
    "kimi-k3": "open_tag('think'",
    "minimax-m3": "<mm:think>",
    "mistral": "[THINK]",
    "mistral-call-id": "[THINK]",
    "mistral-list": "[THINK]",
    "seed": "<seed:think>",
    "tool-calls": "Here are my reasoning steps: [END FINAL RESPONSE]",
}
_THOUGHTLESS = ("functionary-v3.1", "functionary-v3.2")
_TOKEN = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")
_PREFERRED = b'"}]>)/<|0123456789abcdefghijklmnopqrstuvwxyz_'


class ScriptedVocabulary(Tagged):
    """What the engine and prompts need of a model: bytes, some words, and a format's tags."""

    bos_text, eos_text, end_texts = "", "<end>", ("<end>", "<|im_end|>")
    bos_token: int | None = None
    adds_bos = is_recurrent = False
    infill_tokens: tuple[int, int, int] | None = None
    infill_separators: tuple[int | None, int | None] = (None, None)

    def __init__(self, tags: Sequence[str]) -> None:
        single = {tag for tag in tags if _TOKEN.fullmatch(tag)}
        super().__init__(sorted(single, key=lambda tag: (-len(tag), tag)))
        self.n_vocab = len(self.tokens)
        self.dry = NoPrototypes()

    def __call__(self, text: str | bytes) -> list[int]:
        rest, ids = text.encode() if isinstance(text, str) else text, []
        while rest:
            words = [word for word in WORDS if rest.startswith(word)]
            best = max(words, key=len, default=rest[:1])
            ids.append(256 + WORDS.index(best) if words else best[0])
            rest = rest[len(best) :]
        return ids

    def is_end(self, token: int) -> bool:
        return token == self.end

    def piece(self, token: int) -> bytes:
        return b"" if token == self.end else super().piece(token)

    def first_token(self, text: bytes) -> int:
        """Return the token that a text begins with, which may begin within a character."""
        if not text:
            return self.end
        tagged = (token for tag, token in self.tags.items() if text.startswith(tag.encode()))
        return next(tagged, None) or self(text[:8])[0]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self.spelled(tokens).decode("utf-8", "replace")


class ScriptedPrompts(PromptBuilder):
    """Notes how long the prompt is."""

    n_prompt = 0

    def build(self, command: Generate | Prefill) -> Prompt:
        prompt = super().build(command)
        self.n_prompt = len(prompt.tokens)
        return prompt


class ScriptedSampler(HistorySampler):
    """Writes a text as far as it may, and comes back to it where it can.

    Args:
        script: the text.
    """

    def __init__(
        self, seed: int, script: str, model: ScriptedVocabulary, prompts: ScriptedPrompts
    ) -> None:
        super().__init__(seed)
        self._script, self._model, self._prompts = script.encode(), model, prompts

    def sample(self, context: Any, row: int, allowed: bytes | None = None) -> int:
        history: list[int] = context.rows[row]
        generated = self._model.spelled(history[self._prompts.n_prompt :])
        for place in self._places(generated):
            token = self._model.first_token(self._script[place:])
            if allowed is None or allows(allowed, token):
                return token
        if allowed is None:
            return self._model.end
        others: tuple[int, ...] = (self._model.end, *_PREFERRED, *range(self._model.n_vocab))
        return next(token for token in others if allows(allowed, token))

    def _places(self, generated: bytes) -> list[int]:
        """Return where the script may go on, that place first before which most is the same."""

        def n_same(place: int) -> int:
            pairs = zip(reversed(generated), reversed(self._script[:place]), strict=False)
            most = min(place, len(generated))
            return next((at for at, (a, b) in enumerate(pairs) if a != b), most)

        if self._script.startswith(generated):
            return [len(generated)]
        found = {place: n_same(place) for place in range(len(self._script) + 1)}
        places = [place for place, same in found.items() if same]
        return sorted(places, key=lambda place: (-found[place], place))


@dataclass
class Reply:
    """An answer as clients see it.

    Attributes:
        raw: all that the model wrote.
        listed: what the tokens with logprobs spell.
    """

    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    reason: str = ""
    n_tokens: int = 0
    raw: str = ""
    listed: bytes = b""
    n_top: set[int] = field(default_factory=set)


class ScriptedModel:
    """A model that writes answers in the way of one format.

    Args:
        known: the format.
    """

    def __init__(self, known: ToolFormat) -> None:
        self.known = known
        is_tagged = not known.thoughts and known.name not in _THOUGHTLESS
        marks = _MARKS.get(known.name, "</think>") if is_tagged else ""
        source = f"{{# {marks} #}}{CHATML}"
        sketch = PromptBuilder(ScriptedVocabulary(()), source, n_ctx=4000, tool_format=known.name)
        around = (sketch.marks.opening, sketch.marks.closing) if sketch.marks else ()
        self.words = ScriptedVocabulary((*sketch.tags, *around))
        self.prompts = ScriptedPrompts(self.words, source, n_ctx=4000, tool_format=known.name)
        self._calls: dict[str, str] = {}
        self._planner = ConstraintPlanner(
            self.words, self.words.compiler, known, self.prompts.reasoning, self.prompts.marks
        )

    @property
    def thinks(self) -> bool:
        """Whether it has thoughts."""
        return bool(self.thoughts(""))

    @property
    def can_enforce(self) -> bool:
        """Whether calls can be held to tools."""
        return self.known.block is not None

    def thoughts(self, text: str) -> str:
        """Return thoughts as the model writes them before an answer."""
        if self.known.thoughts is not None:
            tags, gap = self.known.thoughts.tags, self.known.thoughts.between
        elif self.prompts.reasoning is not None:
            tags, gap = self.prompts.reasoning, "\n\n"
        else:
            return ""
        return f"{tags.opening}{text}{tags.closing}{gap}"

    def text(self, text: str) -> str:
        """Return an answer's text as the model writes it."""
        return self.known.header + text

    def call(self, tools: Sequence[Any], name: str = "") -> str:
        """Return a call of a tool as the model writes it; by default of the first."""
        key = json.dumps([tools, name])
        if key not in self._calls:
            self._calls[key] = self._made_call(tools, name)
        return self._calls[key]

    def _made_call(self, tools: Sequence[Any], name: str) -> str:
        names = [tool["function"]["name"] for tool in tools]
        mine = self._opening([name or names[0]])
        choice = {"type": "function", "function": {"name": name or names[0]}}
        fields = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False}
        raw = self.answer(mine + (name or names[0]), **fields).raw
        return self._opening(names) + raw.removeprefix(mine)

    def _opening(self, names: Sequence[str]) -> str:
        """Return what a call begins with where it is one of these tools'."""
        assert self.known.block
        tools = [ToolSpec(name, {"type": "object"}) for name in names]
        block = self.known.block(Grammar(), tools, True)
        return block.before + ("" if block.is_begun else block.trigger)

    def answers(self, *scripts: str, **fields: Any) -> list[Reply]:
        """Return the answers to a request whose body has `fields`, one a script.

        Raises:
            InvalidRequest: it was refused.
        """
        asked = command(**{"max_tokens": 400, "seed": 0, **fields})
        prompts, words = self.prompts, self.words
        engine = Engine(
            [[msgspec.structs.replace(asked, report_tokens=True)]],
            n_ctx=4000,
            idle_bytes=0,
            planner=cast(NoGuidance, self._planner),
            prompts=cast(TokenPrompts, prompts),
            model=cast(LetterModel, words),
            sampler=lambda seed: ScriptedSampler(seed, scripts[seed], words, prompts),
        ).run()
        replies = [Reply() for _ in range(asked.n)]
        for event in engine.events:
            self._note(event, replies)
        return replies

    def answer(self, script: str, **fields: Any) -> Reply:
        """Return the answer to a request; see `answers`."""
        (reply,) = self.answers(script, **fields)
        return reply

    def _note(self, event: Event, replies: list[Reply]) -> None:
        choice: int = getattr(event, "choice", 0)
        reply = replies[choice]
        match event:
            case TextDelta(text=text):
                reply.content += text
            case ReasoningDelta(text=text):
                reply.reasoning += text
            case ToolCallStart(name=name):
                reply.calls.append((name, ""))
            case ToolCallDelta(index=index, arguments=more):
                name, arguments = reply.calls[index]
                reply.calls[index] = (name, arguments + more)
            case TokensGenerated(tokens=tokens):
                reply.raw += self.words.spelled(
                    [token for token in tokens if token != self.words.end]
                ).decode("utf-8", "replace")
            case TokenLogprobs(tokens=listed):
                reply.listed += b"".join(each.piece for each in listed)
                reply.n_top |= {len(each.top) for each in listed}
            case Finished(reason=reason, usage=usage):
                reply.reason, reply.n_tokens = reason, usage.completion_tokens
            case Failed(message=message, param=param):
                raise InvalidRequest(message, param=param)
            case _:
                pass


@cache
def model_of(name: str) -> ScriptedModel:
    """Return the model of a format."""
    return ScriptedModel(BY_NAME[name])
