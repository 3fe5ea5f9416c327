"""An answer that is held to a grammar begins as the templates of its format write answers."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from app.base.prefix import common_prefix
from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.reasoning_tags import detect_reasoning
from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.chat.parsing.wrappers import detect_marks
from app.chat.template.chat_template import ChatTemplate
from app.chat.template.messages import normalise
from app.chat.tool_formats import FORMATS, ToolFormat
from app.chat.tools_as_text import format_for
from app.errors import TemplateRefused
from tests.chat.grammar.grammar_walks import Vocabulary
from tests.chat.tool_formats.test_of_templates import PATHS

ANSWER = {"amount": 1.5}
SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
HEADED = [known for known in FORMATS if known.header]
# What a model writes after it has thought, by format.
THOUGHTS = {
    "harmony": "<|channel|>analysis<|message|>So: <x>.<|end|><|start|>assistant",
    "muse": " to=self<|message|>So: <x>.<|eom|><|start|>assistant",
    "solar": "<|think|>So: <x>.<|end|><|begin|>assistant",
}


def read(known: ToolFormat, text: str) -> list[ParsedAnswer]:
    answers = []
    for pieces in ([text], list(text)):
        parser = known.parser({})
        events = [event for piece in pieces for event in parser.feed(piece)]
        answers.append(collect([*events, *parser.finish()]))
    return answers


@pytest.mark.parametrize("known", HEADED, ids=lambda known: known.name)
@pytest.mark.parametrize("has_tokens", [True, False])
def test_a_grammar_admits_thoughts_and_head_before_an_answer(
    known: ToolFormat, has_tokens: bool
) -> None:
    words = Vocabulary(known.tags if has_tokens else ())
    grammar = Grammar(known.tags, words.ids.get)
    thoughts = known.thoughts(grammar) if known.thoughts else ""
    body = sequence(thoughts, grammar.literal(known.header), grammar.schema(SCHEMA))
    text = grammar.text(body)
    answer = json.dumps(ANSWER)
    assert words.admits(text, known.header + answer)
    assert not words.admits(text, answer)
    assert read(known, known.header + answer) == [ParsedAnswer(answer)] * 2
    if known.thoughts:
        thought = THOUGHTS[known.name]
        assert words.admits(text, thought + known.header + answer)
        expected = ParsedAnswer(answer, "So: <x>.")
        assert read(known, thought + known.header + answer) == [expected] * 2


def written_before(source: str, known: ToolFormat) -> str:
    """Return what a template writes between the prompt of an answer and its text."""
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Marked."}]
    texts = [
        template.render(
            normalise(messages, template.traits),
            tools=None,
            add_generation_prompt=opens,
            continue_final_message=False,
            template_kwargs={"enable_thinking": False},
            now=datetime.datetime(2025, 3, 9, 12),
        )
        for messages, opens in ((turns[:1], True), (turns, False))
    ]
    before, _, _ = texts[1].rpartition("Marked.")
    head = before[common_prefix(texts[0], before) :]
    tags = detect_reasoning(source)
    return head.rpartition(tags.closing)[2] if tags else head


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_head_of_a_format_is_what_its_templates_write(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    traits = ChatTemplate(source, bos_token="<s>", eos_token="</s>").traits
    known = format_for(source, traits)
    try:
        written = written_before(source, known)
    except TemplateRefused as error:
        pytest.skip(str(error))
    tags = detect_reasoning(source)
    in_thoughts = tags is not None and bool(written) and written.strip() in tags.closing
    in_prompt = "CHATBOT_TOKEN" in written  # of Command R+, which ends in further instructions
    marks = detect_marks(source)
    head = known.header or (marks.opening if marks is not None else "")
    # The prompt of an answer may begin thoughts with the same characters.
    assert head.strip().endswith(written.strip()) or in_thoughts or in_prompt
    assert written.strip() or not known.header


def test_the_head_of_calls_in_messages_is_the_same_for_each_tool_format() -> None:
    assert {known.name for known in HEADED} >= {"harmony", "muse", "solar", "kimi-k3"}
    assert {known.name for known in HEADED if known.thoughts} == set(THOUGHTS)
