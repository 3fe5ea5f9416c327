"""How thoughts are told from the answer, and which tags each published template gives away.

Covers `app.chat.parsing.reasoning_tags`.
"""

from __future__ import annotations

import datetime
import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.reasoning import (
    ReasoningParser,
    ReasoningTags,
    detect_reasoning,
    opens_reasoning,
)
from app.chat.parsing.stream_parser import (
    ParsedAnswer,
    ParsedCall,
    PlainParser,
    ReasoningPiece,
    StreamEvent,
    TextPiece,
    collect,
    joined,
)
from app.chat.template.chat_template import ChatTemplate
from app.chat.tool_formats.hermes import HermesParser

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))
THINK = ReasoningTags("<think>", "</think>")
INNER = ReasoningTags("<|inner_prefix|>", "<|inner_suffix|>", also_end=("<tool_call>",))
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "</think>"}}\n</tool_call>'
CALLED = [ParsedCall("f", '{"a": "</think>"}', complete=True)]

THINKING = "<think>"
EXPECTED = {
    "Apertus-8B-Instruct": "<|inner_prefix|>",
    "Apriel-1.6-15b-Thinker-fixed": "Here are my reasoning steps:",
    "Bielik-11B-v3.0-Instruct": THINKING,
    "ByteDance-Seed-OSS": "<seed:think>",
    "Cohere2MoE": "<|START_THINKING|>",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "<|START_THINKING|>",
    "GLM-4.6": THINKING,
    "GLM-4.7-Flash": THINKING,
    "HuggingFaceTB-SmolLM3-3B": THINKING,
    "Kimi-K2-Thinking": THINKING,
    "Kimi-K3": "<|open|>think<|sep|>",
    "LFM2.5-8B-A1B": THINKING,
    "LFM2.5-Instruct": THINKING,
    "MiniMax-M2": THINKING,
    "MiniMax-M3": "<mm:think>",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": THINKING,
    "NVIDIA-Nemotron-Nano-v2": THINKING,
    "Qwen-QwQ-32B": THINKING,
    "Qwen-Qwen3-0.6B": THINKING,
    "Qwen3.5-4B": THINKING,
    "Reka-Edge": THINKING,
    "Spark2.5": THINKING,
    "StepFun3.5-Flash": THINKING,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": THINKING,
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": THINKING,
    "deepseek-ai-DeepSeek-V3.1": THINKING,
    "deepseek-ai-DeepSeek-V3.2": THINKING,
    "deepseek-ai-DeepSeek-V4-Flash-0731": THINKING,
    "deepseek-ai-DeepSeek-V4": THINKING,
    "google-gemma-4-31B-it-interleaved": "<|channel>thought",
    "google-gemma-4-31B-it": "<|channel>thought",
    "ibm-granite-granite-3.3-2B-Instruct": THINKING,
    "inclusionai-ling-3.0-flash": THINKING,
    "llama-cpp-deepseek-r1": THINKING,
    "llama-cpp-rwkv-world": THINKING,
    "mistralai-Ministral-3-14B-Reasoning-2512": "[THINK]",
    "openbmb-MiniCPM5-1B": THINKING,
    "poolside-Laguna-S-2.1": THINKING,
    "poolside-Laguna-XS-2.1": THINKING,
    "poolside-Laguna-XS.2": THINKING,
    "tencent-Hy3": "<think:opensource>",
    "unsloth-Apriel-1.5": "<thinking>",
    # Each thought is a message of its own, and the tool format's parser reads it.
    "muse-glimmer": None,
    "openai-gpt-oss-120b": None,
    "upstage-Solar-Open-100B": None,
}


def parser(*, is_open: bool, tags: ReasoningTags = THINK) -> ReasoningParser:
    return ReasoningParser(HermesParser(), tags, is_open=is_open)


def parse(*pieces: str, is_open: bool = False, tags: ReasoningTags = THINK) -> list[StreamEvent]:
    fresh = parser(is_open=is_open, tags=tags)
    events = [event for piece in pieces for event in fresh.feed(piece)]
    return joined(events + fresh.finish())


def answer(text: str, *, is_open: bool = False, tags: ReasoningTags = THINK) -> ParsedAnswer:
    whole = parse(text, is_open=is_open, tags=tags)
    assert parse(*text, is_open=is_open, tags=tags) == whole
    return collect(whole)


# ---------------------------------------------------------------- templates


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_tags_of_a_published_template(path: Path) -> None:
    found = detect_reasoning(path.read_text())
    assert (found.opening if found else None) == EXPECTED.get(path.stem)
    if found:
        assert found.closing not in found.opening


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
def test_no_expectation_is_left_of_a_file_that_is_gone() -> None:
    assert EXPECTED.keys() <= {path.stem for path in PATHS}


def test_the_tokens_are_the_tags_and_what_is_a_token_in_them() -> None:
    assert THINK.tokens == ("<think>", "</think>")
    gemma = ReasoningTags("<|channel>thought", "<channel|>")
    assert gemma.tokens == ("<|channel>thought", "<channel|>", "<|channel>")
    assert "<tool_call>" in INNER.tokens


# ---------------------------------------------------------------- prompts


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<|assistant|><think>", True),
        ("<|assistant|><think>\n", True),
        ("<think>a</think><|assistant|><think>\n", True),
        ("<|assistant|><think></think>", False),
        ("<|assistant|><think>\n\n</think>\n\n", False),
        ("<|assistant|>", False),
        ("<|user|>What is <think>?<|assistant|>", False),
        ("", False),
    ],
)
def test_a_prompt_opens_reasoning_where_only_space_follows_the_tag(
    prompt: str, opens: bool
) -> None:
    assert opens_reasoning(prompt, THINK) is opens


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize(
    ("name", "options", "opens"),
    [
        ("Qwen-Qwen3-0.6B", {}, False),
        ("Qwen-Qwen3-0.6B", {"enable_thinking": False}, False),
        ("Qwen-QwQ-32B", {"enable_thinking": True}, True),
        ("GLM-4.7-Flash", {}, True),
        ("GLM-4.7-Flash", {"enable_thinking": False}, False),
        ("Apriel-1.6-15b-Thinker-fixed", {}, True),
        ("Kimi-K3", {}, True),
        ("Kimi-K3", {"thinking": False}, False),
        ("google-gemma-4-31B-it", {"enable_thinking": True}, False),
        ("google-gemma-4-31B-it", {}, False),
        ("tencent-Hy3", {"reasoning_effort": "high"}, True),
        ("tencent-Hy3", {}, False),
        ("MiniMax-M3", {"thinking_mode": "enabled"}, True),
    ],
)
def test_prompts_of_published_templates(name: str, options: dict[str, object], opens: bool) -> None:
    source = (FOLDER / f"{name}.jinja").read_text()
    tags = detect_reasoning(source)
    assert tags is not None
    prompt = ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(
        [{"role": "user", "content": "Hi"}],
        tools=None,
        add_generation_prompt=True,
        template_kwargs=options,
        now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    assert opens_reasoning(prompt, tags) is opens


# ---------------------------------------------------------------- thoughts


@pytest.mark.parametrize("opening", ["<think>", "\n <think>\n", "<think> \n\n"])
@pytest.mark.parametrize("closing", ["</think>", "\n\n</think>\n\n", " </think> "])
def test_thoughts_at_the_beginning_are_reasoning(opening: str, closing: str) -> None:
    text = f"{opening}One\n\ntwo.{closing}Three."
    assert answer(text) == ParsedAnswer("Three.", "One\n\ntwo.")


@pytest.mark.parametrize("opening", ["", "\n", "<think>\n", "\n<think>"])
def test_the_prompt_may_have_opened_them_already(opening: str) -> None:
    text = opening + "Hm.\n</think>\n\nYes."
    assert answer(text, is_open=True) == ParsedAnswer("Yes.", "Hm.")


def test_empty_thoughts_are_none() -> None:
    assert parse("<think>\n\n</think>\n\nYes.") == [TextPiece("Yes.")]
    assert parse("\n\n</think>\n\nYes.", is_open=True) == [TextPiece("Yes.")]
    assert parse("", is_open=True) == []


def test_thoughts_that_are_cut_off_are_reasoning() -> None:
    assert answer("<think>\nHm, so") == ParsedAnswer("", "Hm, so")
    assert answer("Hm, so \n", is_open=True) == ParsedAnswer("", "Hm, so")
    assert answer("Is a </thin", is_open=True) == ParsedAnswer("", "Is a </thin")
    assert answer("<thi", is_open=True) == ParsedAnswer("", "<thi")


def test_thoughts_stream() -> None:
    fresh = parser(is_open=False)
    assert fresh.feed("<think>\n") == []
    assert fresh.feed("Hm, ") == [ReasoningPiece("Hm,")]
    assert fresh.feed("a < b") == [ReasoningPiece(" a < b")]
    assert fresh.feed("\n</th") == []
    assert fresh.feed("e") == [ReasoningPiece("\n</the")]
    assert fresh.feed("\n</think>\n") == []
    assert fresh.feed("Yes") == [TextPiece("Yes")]
    assert fresh.finish() == []


def test_it_is_known_when_the_model_thinks() -> None:
    assert parser(is_open=True).in_reasoning
    fresh = parser(is_open=False)
    states = []
    for piece in ("", "<thi", "nk>", "a", "</thin", "k>", "b"):
        fresh.feed(piece)
        states.append(fresh.in_reasoning)
    assert states == [False, False, True, True, True, False, False]


# ---------------------------------------------------------------- the answer


def test_calls_after_thoughts_are_calls_and_end_them_in_thoughts() -> None:
    assert answer(f"<think>a</think>\n{CALL}") == ParsedAnswer("", "a", CALLED)
    assert answer(f"a\n{CALL}</think>b", is_open=True) == ParsedAnswer("b", "a", CALLED)


def test_a_call_ends_thoughts_where_the_tags_say_so() -> None:
    fresh = ReasoningTags("<|inner_prefix|>", "<|inner_suffix|>", also_end=("<tool_call>",))
    text = f"<|inner_prefix|>a \n{CALL}"
    assert answer(text, tags=fresh) == ParsedAnswer("", "a", CALLED)


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        " \n",
        "\nYes.",
        "The tags <think> and </think> are well known.",
        "a <think>b</think>",
        "<thinking>a",
        "<thi",
    ],
)
def test_tags_later_in_the_answer_are_text(text: str) -> None:
    assert answer(text) == ParsedAnswer(text)


def test_tags_after_thoughts_are_text() -> None:
    assert answer("<think></think>It is </think> <think>.").content == "It is </think> <think>."
    assert answer("a</think>It is </think>.", is_open=True).content == "It is </think>."


def test_a_closing_tag_that_nothing_opened_is_not_shown() -> None:
    assert answer("So, yes.\n</think>\nYes.") == ParsedAnswer("So, yes.\n\nYes.")
    assert answer("\n</think>\n\nYes.") == ParsedAnswer("Yes.")
    assert answer("a</think>b</think>c") == ParsedAnswer("ab</think>c")


def test_arguments_of_calls_are_left_alone() -> None:
    assert answer(CALL) == ParsedAnswer(tool_calls=CALLED)
    assert answer(f"Well.\n{CALL}") == ParsedAnswer("Well.", tool_calls=CALLED)


# ---------------------------------------------------------------- in any pieces

_PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<thi", "</thi", "nk>", "<", "/", ">", " ", "\n", "\u2003", "a"),
        *("ü", "\ud800", "<tool_call>", "</tool_call>", CALL, '{"name": "f"', "<|inner_prefix|>"),
        *("<|inner_suffix|>", "<|inner_"),
    ]
)
_TEXTS = st.lists(_PIECES, max_size=12).map("".join)


@given(_TEXTS, st.booleans(), st.sampled_from([THINK, INNER]), st.data())
def test_any_split_gives_the_same_events(
    text: str, is_open: bool, tags: ReasoningTags, data: st.DataObject
) -> None:
    whole = parse(text, is_open=is_open, tags=tags)
    assert parse(*text, is_open=is_open, tags=tags) == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert parse(*pieces, is_open=is_open, tags=tags) == whole


@given(_TEXTS, _TEXTS, st.booleans())
def test_thoughts_and_answer_are_told_apart(thought: str, said: str, is_open: bool) -> None:
    thought = thought.replace("</think>", "").replace("<think>", "") + "."
    if "</think>" in thought:
        return
    text = ("" if is_open else "<think>") + f"{thought}</think>{said}"
    fresh = ReasoningParser(PlainParser(), THINK, is_open=is_open)
    result = collect(fresh.feed(text) + fresh.finish())
    assert result == ParsedAnswer(said.lstrip(" \t\r\n"), thought.strip())


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        *(" \n", "</think", "</think>", "<think>", "<", "word ", "<tool_call>", "`<tool_call>"),
        *('<tool_call>{"a": ', '<tool_call>{"name": "f", "arguments": ', '<tool_call>{"name": "'),
    ],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_long_answers_take_linear_time(unit: str, is_open: bool) -> None:
    began = time.process_time()
    text = unit * (100_000 // len(unit))
    for step in (len(text), 8):
        fresh = parser(is_open=is_open)
        for start in range(0, len(text), step):
            fresh.feed(text[start : start + step])
        fresh.finish()
    assert time.process_time() - began < 10


# ---------------------------------------------------------------- where the prompt or answer ends


def test_whitespace_behind_thoughts_that_the_prompt_closed_is_no_text() -> None:
    for pieces in (["\n\nHi"], list("\n\nHi")):
        fresh = ReasoningParser(HermesParser(), THINK, is_open=False, is_closed=True)
        events = [event for piece in pieces for event in fresh.feed(piece)]
        assert collect([*events, *fresh.finish()]) == ParsedAnswer("Hi")
    assert answer("\n\nHi") == ParsedAnswer("\n\nHi")


@pytest.mark.parametrize(
    ("text", "is_open", "expected"),
    [
        ("<thi", False, ParsedAnswer()),
        ("</thi", False, ParsedAnswer()),
        ("Hm.</thi", True, ParsedAnswer("", "Hm.")),
        ("Hm. a <", True, ParsedAnswer("", "Hm. a <")),
        ("Hi <thi", False, ParsedAnswer("Hi <thi")),
    ],
)
def test_a_tag_that_a_limit_cuts_is_not_shown(
    text: str, is_open: bool, expected: ParsedAnswer
) -> None:
    fresh = parser(is_open=is_open)
    assert collect([*fresh.feed(text), *fresh.finish(cut=True)]) == expected
