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
from app.chat.tool_formats import ToolFormat, detect
from app.chat.tools_as_text import (
    GENERIC,
    as_text,
    format_for,
    presented,
    without_late_system,
    without_system,
)

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
SHAPES_OF_CALLS: list[dict[str, Any]] = [{"content": None}, {"content": ""}, {"content": "So."}]
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


LATE = {"role": "system", "content": "Now in verse."}
ANSWER = {"role": "assistant", "content": "It rains."}


def said(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": "\n\n".join(texts)}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([SYSTEM, THANKS], [SYSTEM, THANKS]),
        ([THANKS, LATE], [said("Thanks.", "Now in verse.")]),
        (
            [SYSTEM, LATE, THANKS],
            [{**SYSTEM, "content": "Be brief.\n\nNow in verse."}, THANKS],
        ),
        (
            [SYSTEM, THANKS, LATE, SYSTEM, ANSWER],
            [SYSTEM, said("Thanks.", "Now in verse.", "Be brief."), ANSWER],
        ),
        (
            [THANKS, ANSWER, LATE, SYSTEM, THANKS],
            [THANKS, ANSWER, said("Now in verse.", "Be brief.", "Thanks.")],
        ),
        ([CALLS, result("12"), LATE], [CALLS, result("12"), said("Now in verse.")]),
        ([THANKS, ANSWER, LATE, CALLS], [THANKS, ANSWER, said("Now in verse."), CALLS]),
        ([THANKS, {**LATE, "role": "developer"}], [said("Thanks.", "Now in verse.")]),
    ],
)
def test_later_instructions_become_the_users_words_where_the_template_loses_them(
    given: list[dict[str, Any]], shown: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy(given)
    assert without_late_system(given) == shown
    assert given == before


def test_parts_stay_parts_where_later_instructions_are_added_to_them() -> None:
    parts = [{"type": "text", "text": "Thanks."}]
    (shown,) = without_late_system([{"role": "user", "content": parts}, LATE])
    assert [part["text"] for part in shown["content"]] == ["Thanks.", "\n\n", "Now in verse."]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder of templates is absent")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jinja")), ids=lambda path: path.stem)
def test_every_template_shows_instructions_after_a_question_behind_it(path: Path) -> None:
    template = ChatTemplate(path.read_text("utf-8"), bos_token="<s>", eos_token="</s>")
    traits = template.traits
    for end in ([], [ANSWER, THANKS]):
        talk = normalise([SYSTEM, QUESTION, LATE, *end], traits)
        shown, _ = presented(talk, None, format_for(template.source, traits), traits)
        prompt = template.render(
            shown,
            tools=None,
            add_generation_prompt=True,
            template_kwargs={},
            now=datetime.datetime(2024, 7, 26),
        )
        before, told, _ = prompt.partition("Now in verse.")
        assert told
        assert "Weather in Köln and Bonn?" in before


def test_a_template_that_shows_tools_is_given_them() -> None:
    traits = TemplateTraits()
    known = format_for(CHATML, traits)
    assert known.name == "hermes"
    assert presented(TALK, [TOOL], known, traits) == (TALK, [TOOL])


FAMILIES = {
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
}


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
    assert known.name == FAMILIES.get(name, "generic")
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
    said += ['"Bonn"', ">12 degrees<", ">13 degrees<", "12 and 13 degrees.", "Thanks."]
    prompt = prompt.replace(">\n", ">").replace("\n<", "<")
    places = [prompt.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)


DEEPSEEK = (
    "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "<\uff5ctool▁calls▁begin\uff5c>{{ c.function.arguments | tojson }}"
    "{% endfor %}{% endfor %}"
)
GENERIC_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
KIMI = DEEPSEEK.replace("<\uff5ctool▁calls▁begin\uff5c>", "<|tool_calls_section_begin|>")
KIMI_CALL = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
    "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"
)


def read_in_pieces(known: ToolFormat, text: str) -> list[ParsedCall]:
    parser = known.parser({"get_weather"})
    events = [event for char in text for event in parser.feed(char)]
    return collect([*events, *parser.finish()]).tool_calls


def format_of(source: str) -> tuple[ToolFormat, TemplateTraits]:
    traits = ChatTemplate(source, bos_token="", eos_token="").traits
    return format_for(source, traits), traits


@pytest.mark.parametrize("fence", ["", "{# ```json #}"])
def test_a_family_without_tools_in_its_template_is_shown_them_in_its_way(fence: str) -> None:
    known, traits = format_of(DEEPSEEK + fence)
    assert known.name == ("deepseek-r1" if fence else "deepseek")
    (system, asked), tools = presented([SYSTEM, QUESTION], [TOOL], known, traits)
    assert tools is None
    assert asked == QUESTION
    assert system["content"].startswith(
        "Be brief.\n\n## Tools\nYou have access to the following tools:\n\n"
        "### get_weather\nDescription: Weather of a city\n\nParameters: "
        + json.dumps(TOOL["function"]["parameters"])
    )
    assert presented([SYSTEM, QUESTION], None, known, traits) == ([SYSTEM, QUESTION], None)


@pytest.mark.parametrize("fence", ["", "{# ```json #}"])
def test_what_a_family_is_told_to_write_is_read_and_so_are_generic_calls(fence: str) -> None:
    known, traits = format_of(DEEPSEEK + fence)
    family = detect(DEEPSEEK + fence)
    assert family is not None
    assert known.block is family.block, "calls are enforced in the family's way"
    (system,), _ = presented([SYSTEM], [{"function": {"name": "f"}}], known, traits)
    shown = system["content"]
    written = shown[shown.index("<") : shown.index("\n\n`tool_call_name`")]
    written = written.replace("tool_call_name", "f").replace("tool_call_arguments", "{}")
    assert read_in_pieces(known, written) == [ParsedCall("f", "{}", complete=True)]
    assert read_in_pieces(known, GENERIC_CALL) == [ParsedCall("get_weather", "{}", complete=True)]
    assert {"<tool_call>", "</tool_call>"} < set(known.tags)


def test_calls_of_a_known_family_are_read_beside_the_generic_ones_it_is_asked_for() -> None:
    known, traits = format_of(KIMI)
    assert (known.name, traits.shows_tools) == ("generic", False)
    (system, _), tools = presented([SYSTEM, QUESTION], [TOOL], known, traits)
    assert tools is None
    assert GENERIC_CALL[:20] in system["content"]
    expected = [ParsedCall("get_weather", "{}", complete=True)]
    assert read_in_pieces(known, KIMI_CALL) == expected
    assert read_in_pieces(known, GENERIC_CALL) == expected
    assert set(known.tags) > {"<|tool_call_begin|>", "<tool_call>"}


@pytest.mark.parametrize("shape", range(len(SHAPES_OF_CALLS)))
def test_calls_of_r1_in_the_history_are_whole(shape: int) -> None:
    known, traits = format_of(DEEPSEEK + "{# ```json #}")
    message = {"role": "assistant", "tool_calls": [call("Köln")], **SHAPES_OF_CALLS[shape]}
    (shown,), _ = presented(normalise([message], traits), None, known, traits)
    assert "tool_calls" not in shown
    assert read_in_pieces(known, shown["content"]) == [
        ParsedCall("get_weather", '{"city": "Köln"}', complete=True)
    ]


def test_calls_beside_text_are_in_it_where_a_template_leaves_them_out() -> None:
    source = (
        "{% for m in messages %}{{ m.content }}{% if not m.content %}"
        "{% for c in m.tool_calls or [] %}<\uff5ctool▁calls▁begin\uff5c>"
        "{{ c.function.arguments | tojson }}{% endfor %}{% endif %}{% endfor %}"
        "{{ tools | tojson }}{# ```json #}"
    )
    known, traits = format_of(source)
    assert (known.name, traits.shows_tools, traits.shows_calls) == ("deepseek-r1", True, True)
    alone = {**CALLS, "content": ""}
    assert presented([alone], [TOOL], known, traits) == ([alone], [TOOL])
    ((beside,), _) = presented([CALLS], [TOOL], known, traits)
    assert len(read_in_pieces(known, beside["content"])) == 2
    assert beside["content"].startswith("Let me see.")


SMOLLM = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if xml_tools or python_tools %}{% for t in xml_tools[:] %}{{ t | string }}{% endfor %}"
    "<tool_call>{% endif %}"
)


def test_tools_are_handed_over_under_the_name_that_a_template_reads() -> None:
    known, traits = format_of(SMOLLM)
    assert known.name == "hermes"
    assert traits.shows_tools
    talk, tools = presented(TALK, [TOOL], known, traits)
    assert tools == [TOOL]
    assert roles(talk) == roles(TALK)
    assert "<tool_call>" in talk[2]["content"]
    template = ChatTemplate(SMOLLM, bos_token="", eos_token="")

    def prompt(**kwargs: Any) -> str:
        return template.render(
            [QUESTION], tools=[TOOL], add_generation_prompt=True, template_kwargs=kwargs
        )

    assert "get_weather" in prompt()
    assert "get_weather" not in prompt(xml_tools=["own"])
    assert (
        template.render([QUESTION], tools=None, add_generation_prompt=True, template_kwargs={})
        == QUESTION["content"]
    )
