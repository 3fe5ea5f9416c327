"""What published templates write around an answer's text is not shown, with and without tools.

The text of an answer in the history is read as if the model had written it behind the prompt.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.base.json_types import as_json
from app.chat.parsing.reasoning_tags import opens_reasoning
from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.engine.prompt.builder import PromptBuilder
from app.errors import TemplateRefused
from app.protocol import Generate, ReasoningParams, Render, SamplingParams, ToolChoice
from tests.chat.tool_formats.test_cut_calls import written
from tests.engine.prompt.test_builder import Letters

pytestmark = pytest.mark.usefixtures("one_moment")

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))
TEXT = "Well, that is\n\nso."
THOUGHTS = "Hm, let me see."
QUESTION = {"role": "user", "content": "Is it?"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_it",
        "description": "Gets it.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "What."}},
            "required": ["a"],
        },
    },
}
# Texts that end an answer: tokens that end the generation, and what follows them.
ENDS = (
    "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|END_OF_TURN_TOKEN|>", "<|message_sep|>", "$",
    "<seed:eos>", "<end_of_sentence>", "[e~[", "<SPECIAL_12>", "<sep>", "<|end_of_text|>",
    "<turn|>", "<|end|>", "<|role_end|>", "<|return|>", "<\uff5cend▁of▁sentence\uff5c>",
)  # fmt: skip


@cache
def builder_of(path: Path) -> PromptBuilder:
    return PromptBuilder(Letters(), path.read_text(), n_ctx=1 << 20)


class Case:
    """A template's prompt, and what it writes behind it for an answer."""

    def __init__(self, path: Path, *, with_tools: bool, thinks: bool | None) -> None:
        self.prompts = builder_of(path)
        self._tools = as_json([TOOL] if with_tools else [])
        self._kwargs = {} if thinks is None else {"enable_thinking": thinks}
        self.prompt = self._render([QUESTION], is_opened=True)

    def _render(self, messages: list[dict[str, Any]], *, is_opened: bool) -> str:
        return self.prompts.render(
            Render(
                request_id="r",
                messages=as_json(messages),
                tools=self._tools,
                template_kwargs=self._kwargs,
                prompt_end="opened" if is_opened else "closed",
            )
        )

    @property
    def is_thinking(self) -> bool:
        """Whether the prompt ends within thoughts."""
        tags = self.prompts.reasoning
        return tags is not None and opens_reasoning(self.prompt, tags)

    def written(self) -> str:
        """Return what stands behind the prompt, up to the end of the answer."""
        answer = {"role": "assistant", "content": TEXT}
        whole = self._render([QUESTION, answer], is_opened=False)
        at = whole.rindex(QUESTION["content"])
        prompt = self.prompt[self.prompt.rindex(QUESTION["content"]) :]
        if self.is_thinking and self.prompts.reasoning:
            prompt = prompt.rpartition(self.prompts.reasoning.opening)[0]
        begins = whole[at:].startswith(prompt)  # a few write an answer behind no such opening
        text = whole[at + len(prompt) if begins else whole.index(TEXT) :]
        ends = [at for end in ENDS if (at := text.find(end)) >= 0]
        text = text[: min(ends, default=len(text))]
        tags = self.prompts.reasoning
        if self.is_thinking and tags:
            lead, _, rest = text.partition(TEXT)
            lead = lead.replace(tags.opening, "").replace(tags.closing, "")
            text = f"{THOUGHTS}{tags.closing}{lead}{TEXT}{rest}"
        return text

    def read(self, text: str, *, is_split: bool = True) -> ParsedAnswer:
        command = Generate(
            request_id="r",
            messages=as_json([QUESTION]),
            tools=self._tools,
            template_kwargs=self._kwargs,
            sampling=SamplingParams(),
            reasoning=ReasoningParams(is_split=is_split),
        )
        answers = []
        for pieces in ([text], list(text)):
            parser = self.prompts.parser(command, self.prompts.build(command))
            events = [event for piece in pieces for event in parser.feed(piece)]
            answers.append(collect([*events, *parser.finish()]))
        assert answers[0] == answers[1]
        return answers[0]


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("with_tools", [False, True])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_text_is_read_as_the_template_writes_it(path: Path, with_tools: bool) -> None:
    for thinks in (None, False):
        try:
            case = Case(path, with_tools=with_tools, thinks=thinks)
            text = case.written()
        except TemplateRefused as error:
            pytest.skip(f"no such conversation: {error}")
        answer = case.read(text)
        # Two begin an answer with the space behind a name, and some end it with line breaks.
        content = answer.content.removeprefix(" " if case.prompt.endswith(":") else "").rstrip()
        assert content == TEXT, (case.prompt[-60:], text)
        assert answer.reasoning == (THOUGHTS if case.is_thinking else "")
        assert not answer.tool_calls
        kept = case.read(text, is_split=False).content
        assert kept.rstrip().endswith(TEXT)
        assert THOUGHTS in kept or not case.is_thinking


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("is_split", [True, False])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_required_call_that_is_cut_leaves_no_content(path: Path, is_split: bool) -> None:
    prompts = builder_of(path)
    command = Generate(
        request_id="r",
        messages=as_json([QUESTION]),
        tools=as_json([_named("set_led"), _named("get_it")]),
        sampling=SamplingParams(),
        tool_choice=ToolChoice(is_required=True),
        reasoning=ReasoningParams(is_split=is_split),
    )
    prompt = prompts.build(command)
    thoughts, tags = "", prompts.reasoning
    if tags:
        opening = "" if opens_reasoning(prompt.text, tags) else tags.opening
        thoughts = f"{opening}{THOUGHTS}{tags.closing}\n\n"
    call = written(prompts.tool_format.name)
    for end in [*range(8), *range(8, len(call), 9)]:
        parser = prompts.parser(command, prompt)
        events = [*parser.feed(thoughts), *parser.feed(call[:end]), *parser.finish(cut=True)]
        answer = collect(events)
        assert {called.name for called in answer.tool_calls} <= {"set_led", "get_it"}
        if is_split:
            assert not answer.content
            assert answer.reasoning == (THOUGHTS if tags else "")
        else:
            shown = f"{tags.opening}{THOUGHTS}{tags.closing}" if tags else ""
            assert "".join(answer.content.split()) == "".join(shown.split())


def _named(name: str) -> dict[str, Any]:
    return {**TOOL, "function": {**TOOL["function"], "name": name}}
