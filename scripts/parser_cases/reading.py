"""Owns reading a case's text as the service does: prompt, parser and grammar of its template."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence

from app.base.json_types import as_json
from app.chat.parsing.stream_parser import collect
from app.engine.constrain import Guide
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.prompt.builder import Prompt, PromptBuilder
from app.protocol import (
    Constraint,
    Generate,
    PromptEnd,
    ReasoningParams,
    SamplingParams,
    ToolChoice,
)
from scripts.parser_cases.cases import Case, Continued, Reading
from scripts.parser_cases.vocabulary import END, Vocabulary

_N_CTX = 1_000_000
_SEED = 1


class Reader:
    """Reads answers of one template's model.

    Args:
        source: the template.
    """

    def __init__(self, source: str) -> None:
        plain = PromptBuilder(Vocabulary(), source, n_ctx=_N_CTX)
        self._vocabulary = Vocabulary(tag for tag in plain.tags if tag.strip() == tag)
        self._builder = PromptBuilder(self._vocabulary, source, n_ctx=_N_CTX)
        self._planner = ConstraintPlanner(
            self._vocabulary,
            self._vocabulary.compiler(),
            self._builder.tool_format,
            self._builder.reasoning,
            self._builder.marks,
        )

    def read(self, case: Case) -> list[Reading]:
        """Return what is made of the text: whole, by characters, and in pieces of other lengths.

        Raises:
            DistillerError: the service refuses the request.
        """
        command = _command(case)
        prompt = self._builder.build(command)
        ways = ([case.text], list(case.text), _pieces(case.text))
        return [self._read(command, prompt, way, cut=case.is_partial) for way in ways]

    def _read(
        self, command: Generate, prompt: Prompt, pieces: Iterable[str], *, cut: bool = False
    ) -> Reading:
        parser = self._builder.parser(command, prompt)
        events = [event for piece in pieces for event in parser.feed(piece)]
        answer = collect([*events, *parser.finish(cut=cut)])
        calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
        return Reading(answer.content, answer.reasoning, calls)

    def refusal(self, case: Case) -> str:
        """Return where the grammar that the answer is held to refuses the text; empty: nowhere.

        Raises:
            DistillerError: the service refuses the request.
        """
        command = _command(case)
        prompt = self._builder.build(command)
        plan = self._planner.plan(command, prompt.text, prompt.conversation.tools)
        if plan is None:
            return ""
        guide = Guide(plan)
        guide.begin()
        left = self._tokens(case.text)
        while left:
            left = self._admitted(guide, left)
            if not _allows(guide.mask(), left[0]):
                return f"before {self._spelled(left)!r}"
            taken = guide.take(left[0])
            left = left[1:]
            if taken.is_over:
                rest = self._spelled(left).strip()
                return f"over before {rest!r}" if rest else ""
            if len(taken.tokens) > 1:  # a gap was written: that of the text is not
                left = self._tokens(self._spelled(left).lstrip())
        return "" if case.is_partial or _allows(guide.mask(), END) else "at the end"

    def _admitted(self, guide: Guide, left: list[int]) -> list[int]:
        """Return what is left; a tag that the grammar takes only as text is spelled out."""
        tag, *others = left
        is_spelled = tag > END and not _allows(guide.mask(), tag)
        return [*self._vocabulary.shown_piece(tag), *others] if is_spelled else left

    def _tokens(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text, add_special=False, parse_special=True)

    def _spelled(self, tokens: Sequence[int]) -> str:
        return b"".join(map(self._vocabulary.shown_piece, tokens)).decode("utf-8", "replace")


_ENDS: dict[Continued, PromptEnd] = {
    "": "opened",
    "content": "continued_content",
    "reasoning": "continued_reasoning",
}


def _command(case: Case) -> Generate:
    constraint = None
    if case.json_schema:
        constraint = Constraint(
            kind="json_schema", text=case.json_schema, param="response_format", is_strict=True
        )
    return Generate(
        request_id="case",
        messages=as_json(list(case.messages)),
        tools=as_json(list(case.tools)),
        template_kwargs={"enable_thinking": case.enable_thinking},
        prompt_end=_ENDS[case.continues],
        sampling=SamplingParams(),
        tool_choice=ToolChoice(is_required=case.is_required, parallel=case.parallel),
        constraint=constraint,
        reasoning=ReasoningParams(is_split=case.is_split),
        n_logprobs=0,  # forced tokens are asked for one by one
    )


def _pieces(text: str) -> list[str]:
    chance, pieces = random.Random(_SEED), []
    while text:
        n_chars = chance.randint(1, 9)
        pieces.append(text[:n_chars])
        text = text[n_chars:]
    return pieces


def _allows(mask: bytes | None, token: int) -> bool:
    return mask is None or bool(mask[token // 8] >> token % 8 & 1)


def same_calls(first: Reading, second: Reading) -> bool:
    """Return whether two readings have the same calls.

    Arguments are compared by what they say. Of some that are cut off, one may say more.
    """
    pairs = list(zip(first.calls, second.calls, strict=False))
    same = all(a[0] == b[0] and _same_arguments(a[1], b[1]) for a, b in pairs)
    return same and len(first.calls) == len(second.calls)


def _same_arguments(first: str, second: str) -> bool:
    try:
        return bool(json.loads(first) == json.loads(second))
    except ValueError:
        texts = ["".join(text.split()) for text in (first, second)]
        return texts[0].startswith(texts[1]) or texts[1].startswith(texts[0])
