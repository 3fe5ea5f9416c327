"""A message can be continued within its reasoning, for every model that is known to think.

Covers `app.engine.prompt.answer_parsers`, `app.chat.parsing.unsplit` and, with thoughts,
`app.chat.template.continuation`.
"""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.chat.parsing.reasoning_tags import opens_reasoning
from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.chat.template.chat_template import CHATML, ChatTemplate
from app.engine.prompt.builder import PromptBuilder
from app.errors import InvalidRequest
from app.protocol import PromptEnd, ReasoningParams
from tests.engine.prompt.test_builder import builder, generate, user

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))
every_template = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
HIDES = CHATML + "{#- <think>\n</think> #}"  # shows no thoughts
OPENS = HIDES + "{{- '<think>\n' if add_generation_prompt }}"
CLOSES = HIDES + "{{- '<think>\n\n</think>\n\n' if add_generation_prompt }}"
SHOWS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}<think>"
    "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}{% endfor %}"
    "{{ '<assistant>' if add_generation_prompt }}"
)


@cache
def of_template(path: Path) -> PromptBuilder:
    return builder(path.read_text(), n_ctx=100_000)


def thinking(content: Any = "", thoughts: str | None = "Let me") -> dict[str, Any]:
    return {"role": "assistant", "content": content, "reasoning_content": thoughts}


def prompt_of(
    prompts: PromptBuilder, message: dict[str, Any], end: PromptEnd = "continued", **more: Any
) -> str:
    return prompts.build(generate(user("Hi"), message, prompt_end=end, **more)).text


def answer(
    prompts: PromptBuilder, text: str, end: PromptEnd = "continued", *, is_split: bool = True
) -> ParsedAnswer:
    """Return what is read of an answer that goes on with thoughts, whole and in pieces."""
    reasoning = ReasoningParams(is_split=is_split)
    command = generate(user("Hi"), thinking(), prompt_end=end, reasoning=reasoning)
    prompt = prompts.build(command)
    read = []
    for pieces in ([text], list(text)):
        parser = prompts.parser(command, prompt)
        events = [event for piece in pieces for event in parser.feed(piece)]
        read.append(collect([*events, *parser.finish()]))
    assert read[0] == read[1]
    return read[0]


def closing_of(prompts: PromptBuilder) -> str:
    """Return what a model writes between its thoughts and its answer."""
    messages = prompts.tool_format.thoughts
    if messages is not None:
        return messages.tags.closing + messages.between + prompts.tool_format.header
    assert prompts.reasoning
    return prompts.reasoning.closing


# ---------------------------------------------------------------- every published template


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@every_template
def test_a_message_with_nothing_but_reasoning_goes_on_in_it(path: Path) -> None:
    prompts = of_template(path)
    messages = prompts.tool_format.thoughts
    tags = messages.tags if messages is not None else prompts.reasoning
    if tags is None:
        ends: tuple[PromptEnd, ...] = ("continued", "continued_reasoning")
        for end in ends:
            with pytest.raises(InvalidRequest) as refused:
                prompt_of(prompts, thinking(), end)
            assert refused.value.param == "continue_final_message"
        return
    prompt = prompt_of(prompts, thinking())
    assert prompt.endswith("Let me")
    assert opens_reasoning(prompt, tags, goes_on=True)
    assert prompt == prompt_of(prompts, thinking("Never."), "continued_reasoning")
    text = f" more{closing_of(prompts)}Hi"
    assert answer(prompts, text) == ParsedAnswer("Hi", " more")
    shown = answer(prompts, text, is_split=False)
    assert shown.content.startswith(f"{tags.opening} more{tags.closing}")
    assert (shown.reasoning, shown.content[-2:]) == ("", "Hi")


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@every_template
def test_the_prompt_ends_as_the_one_of_an_answer_that_begins_with_thoughts(path: Path) -> None:
    prompts = of_template(path)
    opened = prompts.build(generate(user("Hi"))).text
    if prompts.reasoning is None or not opens_reasoning(opened, prompts.reasoning):
        return
    assert prompt_of(prompts, thinking()) == f"{opened}Let me"


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@every_template
def test_content_goes_on_as_content(path: Path) -> None:
    prompts = of_template(path)
    for message in (thinking("Hello, "), {"role": "assistant", "content": "Hello, "}):
        command = generate(user("Hi"), message, prompt_end="continued_content")
        prompt = prompts.build(command)
        assert prompt.text.rstrip().endswith("Hello,")
        parser = prompts.parser(command, prompt)
        read = collect([*parser.feed("world."), *parser.finish()])
        assert read == ParsedAnswer("world.")


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@every_template
def test_without_splitting_the_opening_tag_of_the_prompt_is_shown(path: Path) -> None:
    prompts = of_template(path)
    tags = prompts.reasoning
    if tags is None:
        return
    for switch in ({}, {"enable_thinking": True}, {"enable_thinking": False}):
        reasoning = ReasoningParams(is_split=False)
        command = generate(user("Hi"), template_kwargs=switch, reasoning=reasoning)
        prompt = prompts.build(command)
        text = f"So.{tags.closing}Hi" if opens_reasoning(prompt.text, tags) else "Hi"
        for pieces in ([text], list(text)):
            parser = prompts.parser(command, prompt)
            events = [event for piece in pieces for event in parser.feed(piece)]
            read = collect([*events, *parser.finish()])
            before = prompt.text[prompt.text.rfind(tags.opening) :] if text != "Hi" else ""
            assert read == ParsedAnswer(before + text)
            assert before.rstrip() in ("", tags.opening)


# ---------------------------------------------------------------- kinds of templates


@pytest.mark.parametrize("source", [HIDES, OPENS, CLOSES])
def test_thoughts_that_a_template_hides_follow_the_opening_of_the_answer(source: str) -> None:
    prompts = builder(source)
    expected = "^<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\nLet me"
    assert prompt_of(prompts, thinking()).lstrip("^") == expected.lstrip("^")
    assert answer(prompts, " more</think>Hi") == ParsedAnswer("Hi", " more")


def test_thoughts_that_a_template_shows_are_where_it_shows_them() -> None:
    assert prompt_of(builder(SHOWS), thinking()).endswith("<user>Hi<assistant><think>Let me")


@pytest.mark.parametrize("thoughts", ["Let me\n", "Let me ", " Let"])
def test_space_around_the_thoughts_stays_where_the_template_keeps_it(thoughts: str) -> None:
    assert prompt_of(builder(SHOWS), thinking(thoughts=thoughts)).endswith(f"<think>{thoughts}")


@pytest.mark.parametrize(
    ("message", "end", "expected"),
    [
        (thinking(), "continued", "<think>Let me"),
        (thinking([{"type": "text", "text": ""}]), "continued", "<think>Let me"),
        (thinking("So"), "continued", "<think>Let me</think>So"),
        (thinking(), "continued_content", "<think>Let me</think>"),
        (thinking("So"), "continued_reasoning", "<think>Let me"),
        (thinking("", ""), "continued_reasoning", "<assistant><think>"),
        (thinking("", ""), "continued", "<user>Hi<assistant>"),
        (thinking("", None), "continued", "<user>Hi<assistant>"),
    ],
)
def test_what_goes_on_is_what_was_asked_for_or_what_the_message_ends_with(
    message: dict[str, Any], end: PromptEnd, expected: str
) -> None:
    assert prompt_of(builder(SHOWS), message, end).endswith(expected)


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning"])
def test_the_thoughts_may_have_any_of_their_names(name: str) -> None:
    message = {"role": "assistant", "content": None, name: "Let me"}
    assert prompt_of(builder(SHOWS), message).endswith("<think>Let me")


def test_thoughts_with_their_end_in_them_cannot_be_continued() -> None:
    with pytest.raises(InvalidRequest) as refused:
        prompt_of(builder(SHOWS), thinking(thoughts="a</think>b"))
    assert refused.value.param == "continue_final_message"


def test_an_opening_tag_that_the_model_repeats_is_shown_once() -> None:
    command = generate(user("Hi"), reasoning=ReasoningParams(is_split=False))
    prompts = builder(OPENS)
    for text in ("<think>\nSo.</think>Hi", "\n<think>So.</think>Hi"):
        parser = prompts.parser(command, prompts.build(command))
        events = [event for letter in text for event in parser.feed(letter)]
        assert collect([*events, *parser.finish()]) == ParsedAnswer(text)


def test_thoughts_that_a_template_opens_before_the_text_are_closed() -> None:
    source = SHOWS.replace("{{ m.content }}", "{{ '<think>\n' if loop.last }}{{ m.content }}")
    prompts = builder(source)
    said = {"role": "assistant", "content": "So"}
    assert prompt_of(prompts, said).endswith("<assistant><think></think>So")
    begun = {"role": "assistant", "content": "<think>So"}
    assert prompt_of(prompts, begun).endswith("<think>So")


def test_an_answer_that_ends_at_once_shows_the_opening_tag_too() -> None:
    command = generate(user("Hi"), reasoning=ReasoningParams(is_split=False))
    prompts = builder(OPENS)
    parser = prompts.parser(command, prompts.build(command))
    assert collect([*parser.feed("<thi"), *parser.finish()]) == ParsedAnswer("<think>\n<thi")


def test_a_call_in_place_of_thoughts_has_no_opening_tag_before_it() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    command = generate(user("Hi"), tools=[tool], reasoning=ReasoningParams(is_split=False))
    prompts = builder(OPENS)
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    for text, content in ((call, ""), (f"\n{call}", ""), (f"So.\n{call}", "<think>\nSo.")):
        parser = prompts.parser(command, prompts.build(command))
        events = [event for letter in text for event in parser.feed(letter)]
        read = collect([*events, *parser.finish()])
        assert (read.content, [call.name for call in read.tool_calls]) == (content, ["f"])


def test_a_template_renders_thoughts_with_the_date_and_variables_of_its_caller() -> None:
    source = "{{ strftime_now('%Y') }}{{ mood }}" + SHOWS
    prompts = builder(source)
    assert prompts.reasoning is not None
    prompt = ChatTemplate(source, bos_token="", eos_token="").render_in_thoughts(
        [{"role": "user", "content": "Hi"}, thinking()],
        prompts.reasoning,
        tools=None,
        template_kwargs={"mood": "!"},
        now=datetime.datetime(2001, 1, 1),
    )
    assert prompt == "2001!<user>Hi<assistant><think>Let me"
