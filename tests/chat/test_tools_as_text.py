"""How tools, calls and results are shown to a model whose template knows none of them."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from app.chat.parsing.stream_parser import ParsedAnswer, ParsedCall, collect
from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.messages import normalise
from app.chat.template.traits import TemplateTraits
from app.chat.tools_as_text import GENERIC, as_text, format_for, presented, without_system

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "templates"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "Weather in Köln and Bonn?"}


def call(city: str) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": json.dumps({"city": city}, ensure_ascii=False)}
    return {"id": f"call0000{len(city)}", "type": "function", "function": function}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call00004", "name": "get_weather", "content": text}


CALLS: dict[str, Any] = {
    "role": "assistant",
    "content": "Let me see.",
    "tool_calls": [call("Köln"), call("Bonn")],
}
TALK: list[dict[str, Any]] = [SYSTEM, QUESTION, CALLS, result("12 degrees"), result("13 degrees")]
THANKS = {"role": "user", "content": "Thanks."}


def roles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["role"] for message in messages]


def test_tools_follow_the_instructions() -> None:
    (system, user) = as_text([SYSTEM, QUESTION], [TOOL])
    assert system["content"].startswith("Be brief.\n\n# Tools")
    assert json.dumps(TOOL) in system["content"]
    assert '<tool_call>\n{"name":' in system["content"]
    assert user == QUESTION


def test_tools_are_the_instructions_where_there_are_none() -> None:
    assert roles(as_text([QUESTION], [TOOL])) == ["system", "user"]


def test_a_conversation_without_tools_is_left_as_it_is() -> None:
    talk = [SYSTEM, QUESTION, {"role": "assistant", "content": "No."}, THANKS, THANKS]
    assert as_text(talk, []) == talk


def test_the_messages_given_are_left_alone() -> None:
    before = copy.deepcopy([*TALK, THANKS])
    without_system(as_text([*TALK, THANKS], [TOOL]))
    assert [*TALK, THANKS] == before


def test_calls_become_text_that_is_read_back_as_the_same_calls() -> None:
    shown = as_text(TALK, [])[2]
    assert shown.keys() == {"role", "content"}
    parser = GENERIC.parser(None)
    calls = [
        ParsedCall("get_weather", f'{{"city": "{c}"}}', complete=True) for c in ("Köln", "Bonn")
    ]
    read = collect(parser.feed(shown["content"]) + parser.finish())
    assert read == ParsedAnswer("Let me see.", "", calls)


@pytest.mark.parametrize("arguments", [{"city": "Köln"}, '{"city": "Köln"}'])
def test_arguments_may_be_an_object_or_text(arguments: Any) -> None:
    made = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    (shown,) = as_text([{"role": "assistant", "content": None, "tool_calls": [made]}], [])
    assert shown["content"] == (
        '<tool_call>\n{"name": "f", "arguments": {"city": "Köln"}}\n</tool_call>'
    )


def test_results_and_what_the_user_says_next_are_one_message() -> None:
    shown = as_text([*TALK, THANKS], [])
    assert roles(shown) == ["system", "user", "assistant", "user"]
    assert shown[-1]["content"] == (
        "<tool_response>\n12 degrees\n</tool_response>\n\n"
        "<tool_response>\n13 degrees\n</tool_response>\n\nThanks."
    )


def test_parts_stay_parts() -> None:
    parts = [{"type": "text", "text": "Be brief."}]
    (system,) = as_text([{"role": "system", "content": parts}], [TOOL])
    assert system["content"][0] == parts[0]
    assert {part["type"] for part in system["content"]} == {"text"}


def test_instructions_become_the_users_words_where_the_template_knows_none() -> None:
    assert without_system([SYSTEM, QUESTION]) == [
        {"role": "user", "content": f"Be brief.\n\n{QUESTION['content']}"}
    ]
    assert without_system([SYSTEM]) == [{"role": "user", "content": "Be brief."}]
    assert without_system([SYSTEM, CALLS]) == [{"role": "user", "content": "Be brief."}, CALLS]
    assert without_system([QUESTION]) == [QUESTION]


def test_a_template_that_shows_tools_is_given_them() -> None:
    traits = TemplateTraits()
    known = format_for(CHATML, traits)
    assert known.name == "hermes"
    assert presented(TALK, [TOOL], known, traits) == (TALK, [TOOL])


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize(
    "name",
    [
        "HuggingFaceTB-SmolLM3-3B",
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "deepseek-ai-DeepSeek-V3.1",
        "google-gemma-2-2b-it",
        "llama-cpp-rwkv-world",
        "microsoft-Phi-3.5-mini-instruct",
    ],
)
def test_published_templates_without_tools_show_all_of_a_conversation_with_some(name: str) -> None:
    source = (FOLDER / f"{name}.jinja").read_text()
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")
    traits = template.traits
    known = format_for(source, traits)
    assert known is GENERIC
    talk = [*TALK, {"role": "assistant", "content": "12 and 13 degrees."}, THANKS]
    shown, tools = presented(normalise(talk, traits), [TOOL], known, traits)
    prompt = template.render(
        shown,
        tools=tools,
        add_generation_prompt=True,
        template_kwargs={},
        now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    said = ["Be brief.", "Weather of a city", QUESTION["content"], "Let me see.", '"Köln"']
    said += ['"Bonn"', "\n12 degrees\n", "\n13 degrees\n", "12 and 13 degrees.", "Thanks."]
    places = [prompt.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)
