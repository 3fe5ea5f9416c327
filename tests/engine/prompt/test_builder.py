"""A conversation becomes the tokens of its prompt, or an error that says why not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.base.json_types import as_json
from app.chat.parsing.stream_parser import (
    CallStart,
    ParsedAnswer,
    PlainParser,
    StreamParser,
    collect,
)
from app.chat.template.chat_template import ChatTemplate
from app.chat.tool_formats.channels.harmony import HarmonyParser
from app.chat.tool_formats.hermes import HermesParser
from app.engine.prompt.builder import Prompt, PromptBuilder, Tokenizer
from app.engine.prompt.generated_turns import GeneratedTurn
from app.errors import ContextOverflow, InvalidRequest, TemplateRefused, TemplateTooSlow
from app.protocol import (
    Generate,
    Prefill,
    ReasoningParams,
    Render,
    SamplingParams,
    ToolChoice,
)

BOS = 1
CONTENTS = "{% for message in messages %}{{ message.content }}{% endfor %}"
TOOL = {"type": "function", "function": {"name": "weather"}}


class Letters:
    """A vocabulary of code points, with `^` as beginning and `$` as end of sequence."""

    bos_text = "^"
    eos_text = "$"
    end_texts = ("$",)
    bos_token: int | None = BOS
    adds_bos = True
    infill_tokens: tuple[int, int, int] | None = None
    infill_separators: tuple[int | None, int | None] = (None, None)
    n_vocab = 0x110000

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        assert parse_special, "the template's special tokens are tokens"
        begin = [BOS] if add_special else []
        return begin + [BOS if letter == "^" else ord(letter) for letter in text]


class LettersWithoutBos(Letters):
    """The same without a beginning of sequence, as Qwen's."""

    bos_text = ""
    bos_token = None
    adds_bos = False

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [ord(letter) for letter in text]


def builder(
    template: str | None = None, *, n_ctx: int = 4096, tokenizer: Tokenizer | None = None
) -> PromptBuilder:
    return PromptBuilder(tokenizer or Letters(), template, n_ctx=n_ctx)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def generate(*messages: dict[str, Any], tools: Sequence[Any] = (), **more: Any) -> Generate:
    return Generate(
        request_id="r",
        messages=as_json(messages),
        tools=as_json(tools),
        sampling=SamplingParams(),
        **more,
    )


def parser(prompts: PromptBuilder, command: Generate) -> StreamParser:
    return prompts.parser(command, prompts.build(command))


def prefill(*messages: dict[str, Any], **more: Any) -> Prefill:
    return Prefill(request_id="r", messages=as_json(messages), **more)


def text(prompt: Prompt) -> str:
    return "".join("^" if token == BOS else chr(token) for token in prompt.tokens)


# ---------------------------------------------------------------- prompts


def test_without_a_template_the_conversation_is_written_as_chatml() -> None:
    prompt = text(builder().build(generate(user("Hi"))))
    assert prompt == "^<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_prefilled_prompt_is_the_beginning_of_the_prompts_that_follow() -> None:
    prompts = builder()
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "Hello!"}
    conversation = [system, user("Hi"), answer, user("Go")]
    whole = prompts.build(generate(*conversation)).tokens
    for length in range(1, len(conversation)):
        ready = prompts.build(prefill(*conversation[:length])).tokens
        assert whole[: len(ready)] == ready
    assert prompts.build(prefill(*conversation)).tokens == whole[:-1], "the last is decoded alone"


def test_the_head_is_what_all_conversations_with_these_instructions_share() -> None:
    prompts = builder()
    system = {"role": "system", "content": "Be brief."}
    hi, go = (prompts.build(generate(system, user(said), tools=[TOOL])) for said in ("Hi", "Go"))
    assert hi.n_system == go.n_system
    assert hi.tokens[: hi.n_system] == go.tokens[: go.n_system]
    assert hi.text[: hi.n_system - 1].endswith("<|im_start|>user\n")
    assert prompts.build(generate(user("Hi"))).n_system == 0, "no instructions, no tools"


def test_an_answer_that_comes_back_as_text_keeps_the_tokens_that_were_generated() -> None:
    prompts = builder()
    asked = prompts.build(generate(user("Hi")))
    generated = [1000, 1001]
    prompts.turns.remember(
        GeneratedTurn(asked.text, [*asked.tokens, *generated], "Hello!", "<|im_end|>")
    )
    later = [user("Hi"), {"role": "assistant", "content": "Hello!"}, user("Go")]
    tokens = prompts.build(generate(*later)).tokens
    assert tokens[: len(asked.tokens) + 2] == [*asked.tokens, *generated]
    later[1] = {"role": "assistant", "content": "Goodbye!"}
    assert 1000 not in prompts.build(generate(*later)).tokens


def test_a_beginning_of_sequence_that_the_template_wrote_is_not_doubled() -> None:
    written = builder("{{ bos_token }}" + CONTENTS)
    assert text(written.build(generate(user("Hi")))) == "^Hi"
    assert text(builder(CONTENTS).build(generate(user("Hi")))) == "^Hi"


def test_a_vocabulary_without_a_beginning_of_sequence_needs_none() -> None:
    prompts = builder(CONTENTS, tokenizer=LettersWithoutBos())
    assert text(prompts.build(generate(user("Hi")))) == "Hi"


def test_tools_and_template_arguments_reach_the_template() -> None:
    prompts = builder(
        "{{ tools[0].function.name if tools else 'no tools' }} {{ mood }}{# <tool_call> #}"
    )
    command = generate(user("Hi"), tools=[TOOL], template_kwargs={"mood": "good"})
    assert text(prompts.build(command)) == "^weather good"
    assert text(prompts.build(prefill(user("Hi"), template_kwargs={"mood": "bad"}))) == (
        "^no tools ba"
    )


def test_parts_of_text_are_joined_for_a_template_that_takes_only_text() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert text(builder(CONTENTS).build(generate(user(parts)))) == "^one\ntwo"


# ---------------------------------------------------------------- where a prompt ends


def test_a_prompt_ends_with_an_opening_after_the_messages_or_inside_the_last() -> None:
    messages = [user("Hi"), {"role": "assistant", "content": "Hel"}]
    inside = "^<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHel"
    closed = inside + "<|im_end|>\n"
    prompts = builder()
    assert text(prompts.build(generate(*messages, prompt_end="continued"))) == inside
    assert text(prompts.build(generate(*messages, prompt_end="closed"))) == closed
    assert text(prompts.build(generate(*messages))) == closed + "<|im_start|>assistant\n"


def test_a_continued_prompt_has_the_head_and_the_beginning_of_any_other() -> None:
    prompts = builder()
    system = {"role": "system", "content": "Be brief."}
    messages = [system, user("Hi"), {"role": "assistant", "content": "Hel"}]
    inside = prompts.build(generate(*messages, prompt_end="continued"))
    assert inside.n_system == prompts.build(generate(*messages)).n_system > 0
    ready = prompts.build(prefill(*messages, prompt_end="continued"))
    assert ready.tokens == inside.tokens[:-1], "the last is decoded alone"


def test_an_answer_goes_on_from_the_tokens_that_were_generated() -> None:
    prompts = builder()
    asked = prompts.build(generate(user("Hi")))
    generated = [*asked.tokens, 1000, 1001]
    prompts.turns.remember(GeneratedTurn(asked.text, generated, "Hel", ""))
    half = [user("Hi"), {"role": "assistant", "content": "Hel"}]
    inside = prompts.build(generate(*half, prompt_end="continued"))
    assert inside.tokens == generated
    prompts.turns.remember(GeneratedTurn(inside.text, [*generated, 1002], "lo!", "<|im_end|>"))
    whole = [user("Hi"), {"role": "assistant", "content": "Hello!"}, user("Go")]
    assert prompts.build(generate(*whole)).tokens[: len(generated) + 1] == [*generated, 1002]


# ---------------------------------------------------------------- refusals


def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused() -> None:
    prompts = builder(CONTENTS, n_ctx=8)
    assert len(prompts.build(generate(user("x" * 6))).tokens) == 7
    with pytest.raises(ContextOverflow) as refused:
        prompts.build(generate(user("x" * 7)))
    assert refused.value.message == "Requested tokens (8) exceed context window of 8"


def test_a_template_that_does_not_compile_is_refused_at_once() -> None:
    with pytest.raises(TemplateRefused):
        builder("{% for %}")


def test_a_template_that_raises_refuses_the_conversation() -> None:
    prompts = builder("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(TemplateRefused, match="roles must alternate"):
        prompts.build(generate(user("Hi")))


def test_content_that_no_text_model_can_see_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as refused:
        builder().build(generate(user([{"type": "image_url", "image_url": {"url": "x"}}])))
    assert refused.value.param == "messages[0].content[0].type"


def test_a_conversation_that_renders_to_nothing_is_refused() -> None:
    prompts = builder(CONTENTS, tokenizer=LettersWithoutBos())
    with pytest.raises((TemplateRefused, InvalidRequest)):
        prompts.build(generate(user("")))


# ---------------------------------------------------------------- what is kept


def kept(prompts: PromptBuilder) -> tuple[int, int, int]:
    return len(prompts._dates), prompts._system_prefixes.n_bytes, len(prompts.turns)


class CountingRenders:
    """Counts the renderings of all templates, and cuts off those from some number on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_rendered = 0
        self.first_slow: int | None = None
        render = ChatTemplate.render

        def counted(template: ChatTemplate, *args: Any, **more: Any) -> str:
            self.n_rendered += 1
            if self.first_slow is not None and self.n_rendered >= self.first_slow:
                raise TemplateTooSlow("it ran for more than 5 s")
            return render(template, *args, **more)

        monkeypatch.setattr(ChatTemplate, "render", counted)


def test_a_prompt_that_is_too_long_leaves_nothing_behind_and_is_rendered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = builder(n_ctx=100)
    renders = CountingRenders(monkeypatch)
    with pytest.raises(ContextOverflow):
        prompts.build(generate({"role": "system", "content": "x" * 1000}, user("Hi")))
    assert kept(prompts) == (0, 0, 0)
    assert renders.n_rendered == 1


def test_a_conversation_that_is_refused_leaves_nothing_behind() -> None:
    prompts = builder("{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + CONTENTS)
    with pytest.raises(InvalidRequest):
        prompts.build(generate(user([{"type": "image_url"}])))
    refusing = builder("{{ raise_exception('no') }}")
    with pytest.raises(TemplateRefused):
        refusing.build(generate(user("Hi")))
    assert kept(prompts) == kept(refusing) == (0, 0, 0)


def test_looking_at_a_prompt_leaves_nothing_behind() -> None:
    prompts = builder()
    prompts.render(Render(request_id="r", messages=as_json([user("Hi")])))
    assert kept(prompts) == (0, 0, 0)


def test_what_is_kept_of_a_long_prompt_is_short() -> None:
    prompts = builder(n_ctx=100_000)
    system = {"role": "system", "content": "x" * 50_000}
    prompts.build(generate(system, user("y" * 40_000)))
    n_dates, head_bytes, _ = kept(prompts)
    assert n_dates == 1
    assert 200_000 < head_bytes < 201_000, "4 bytes a token"
    (key,) = prompts._dates._began
    assert len(key) == 16
    prompts.forget()
    assert kept(prompts) == (0, 0, 0)


def test_a_head_that_the_deadline_cut_off_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = builder()
    command = generate({"role": "system", "content": "Be brief."}, user("Hi"))
    renders = CountingRenders(monkeypatch)
    renders.first_slow = 2
    slow = prompts.build(command)
    assert (slow.n_system, prompts._system_prefixes.n_bytes) == (0, 0)
    renders.first_slow = None
    quick = prompts.build(command)
    assert quick.n_system > 0
    assert quick.tokens == slow.tokens


def test_a_prefill_that_the_deadline_cut_off_gets_no_other_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = builder()
    renders = CountingRenders(monkeypatch)
    renders.first_slow = 2
    with pytest.raises(TemplateTooSlow):
        prompts.build(prefill({"role": "system", "content": "Be brief."}))
    assert kept(prompts) == (0, 0, 0)


# ---------------------------------------------------------------- tool formats


def test_answers_with_tools_are_parsed_in_the_templates_format() -> None:
    assert isinstance(parser(builder(), generate(user("Hi"), tools=[TOOL])), HermesParser)
    assert builder().tags == ("<tool_call>", "</tool_call>")


def test_answers_are_plain_where_nobody_offered_tools() -> None:
    assert isinstance(parser(builder(), generate(user("Hi"))), PlainParser)


def test_answers_are_parsed_where_the_conversation_has_used_tools() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
    used = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert isinstance(parser(builder(), generate(user("Hi"), used)), HermesParser)


def test_a_template_that_shows_no_tools_gets_them_as_text_and_its_answers_are_parsed() -> None:
    prompts = builder(CONTENTS)
    assert '"name": "weather"' in text(prompts.build(generate(user("Hi"), tools=[TOOL])))
    assert isinstance(parser(prompts, generate(user("Hi"), tools=[TOOL])), HermesParser)
    assert isinstance(parser(prompts, generate(user("Hi"))), PlainParser)


def test_answers_with_more_than_calls_to_tell_apart_are_parsed_without_tools_too() -> None:
    prompts = builder(CONTENTS + "{# <|channel|> <|message|> #}")
    assert isinstance(parser(prompts, generate(user("Hi"))), HarmonyParser)


def test_words_that_look_like_a_call_are_one_only_where_tools_were_offered_or_used() -> None:
    prompts = builder(CONTENTS + "{# >>>${recipient} #}")
    call = {"type": "function", "function": {"name": "json", "arguments": "{}"}}
    used = {"role": "assistant", "content": None, "tool_calls": [call]}
    for messages, is_call in (([user("Hi")], False), ([user("Hi"), used, user("So?")], True)):
        events = parser(prompts, generate(*messages)).feed('json\n{"a": 1}')
        assert any(isinstance(event, CallStart) for event in events) is is_call


def test_instructions_reach_a_template_that_refuses_them_as_the_users_words() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    prompts = builder(refusing + CONTENTS)
    system = {"role": "system", "content": "Be brief."}
    assert text(prompts.build(generate(system, user("Hi")))) == "^Be brief.\n\nHi"


def test_each_answer_has_a_parser_of_its_own() -> None:
    prompts, command = builder(), generate(user("Hi"), tools=[TOOL])
    assert parser(prompts, command) is not parser(prompts, command)


def test_a_tool_without_a_usable_name_does_not_stop_the_parser() -> None:
    odd: list[dict[str, Any]] = [{"type": "function"}, {"type": "function", "function": "x"}]
    assert isinstance(parser(builder(), generate(user("Hi"), tools=odd)), HermesParser)


FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
HALF = "\\ud83d"
ODD_ARGUMENTS = r'{"a": "\ud83d", "\ud83d": ["\ude00"]}'
HISTORY = [
    {"role": "system", "content": "X"},
    {"role": "user", "content": "X"},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "X",
        "tool_calls": [
            {
                "id": "abcdefghi",
                "type": "function",
                "function": {
                    "name": "weather",
                    "arguments": ODD_ARGUMENTS,
                },
            }
        ],
    },
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "X"},
    {"role": "assistant", "content": "X"},
    {"role": "user", "content": "X"},
]
SHOWN = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "X",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "X", "enum": ["X"]}},
            "required": ["a"],
        },
    },
}


@pytest.mark.parametrize(
    "path", [None, *sorted(FOLDER.glob("*.jinja"))], ids=lambda path: path.stem if path else ""
)
def test_half_a_surrogate_pair_ends_no_conversation(path: Path | None) -> None:
    prompts = PromptBuilder(Letters(), path.read_text() if path else None, n_ctx=100_000)
    as_object = json.loads(json.dumps(HISTORY))
    as_object[2]["tool_calls"][0]["function"]["arguments"] = {"a": "X", "X": {"X": ["X"]}}
    for history in (HISTORY, as_object):
        command = Generate(
            request_id="r",
            messages=json.dumps(history).replace("X", HALF).encode(),
            tools=json.dumps([SHOWN]).replace("X", HALF).encode(),
            template_kwargs={"note": "\ud83d"},
            sampling=SamplingParams(),
        )
        text = prompts.build(command).text
        assert "\N{REPLACEMENT CHARACTER}" in text
        assert text.encode().decode() == text


def test_what_a_template_makes_of_text_can_be_encoded() -> None:
    template = r"{{ '\ud83d' }}{{ messages[0].content }}"
    command = Render(request_id="r", messages=as_json([user("Hi")]))
    assert builder(template).render(command) == "\N{REPLACEMENT CHARACTER}Hi"


def test_tools_of_which_openai_leaves_out_most_are_shown() -> None:
    template = (
        "{% for t in tools or [] %}{{ t.function.name + ': ' + t.function.description }}"
        "{% for name, p in t.function.parameters.properties.items() %}"
        "{{ name + p.type }}{% if p.anyOf and t.function.name == 'c' %}"
        "{{ raise_exception('odd') }}{% endif %}{% endfor %}{% endfor %}"
        "{{ messages[0].content }}{# <tool_call> #}"
    )
    tools = [
        {"function": {"name": "a", "description": None, "parameters": None}},
        {"type": None, "function": {"name": "b", "parameters": {"properties": {"p": None}}}},
        {"function": {"name": "c", "parameters": {"properties": {"q": {"anyOf": [{}]}}}}},
    ]
    command = Render(request_id="r", messages=as_json([user("Hi")]), tools=as_json(tools))
    assert builder(template).render(command) == "a: b: pstringc: qstringHi"


def read_by(prompts: PromptBuilder, command: Generate, text: str, *, cut: bool) -> ParsedAnswer:
    fresh = parser(prompts, command)
    return collect([*fresh.feed(text), *fresh.finish(cut=cut)])


def test_a_required_call_that_is_cut_has_no_content_and_thoughts_stay() -> None:
    choice = ToolChoice(is_required=True)
    asked = generate(user("Hi"), tools=[TOOL], tool_choice=choice)
    for text in ("<", "<tool_c", '<tool_call>\n{"name": "wea'):
        assert read_by(builder(), asked, text, cut=True) == ParsedAnswer()
    thinking = builder(CONTENTS + "{# </think> #}")
    found = read_by(thinking, asked, "<think>Hm.</think>\n\n<", cut=True)
    assert found == ParsedAnswer("", "Hm.")
    kept = {"reasoning": ReasoningParams(is_split=False), "tool_choice": choice}
    asked = generate(user("Hi"), tools=[TOOL], **kept)
    found = read_by(thinking, asked, "<think>Hm.</think>\n\n<tool_c", cut=True)
    assert found.content.strip() == "<think>Hm.</think>"
    harmony = builder(CONTENTS + "{# <|channel|> <|message|> #}")
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=functions.w"
    assert "Hm." in read_by(harmony, asked, text, cut=True).content
    assert "functions" not in read_by(harmony, asked, text, cut=True).content


@pytest.mark.parametrize("tools", [[], [TOOL]])
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<|START_RESPONSE|>", "<|START_RESPONSE|>Hi<|END_RESPONSE|>"),
        ("<|START_TEXT|>", "<|START_TEXT|>Hi<|END_TEXT|>"),
        (">>>${recipient}", "all\nHi"),
        ("<|channel>thought", "<|channel>thought\n<channel|>Hi<channel|>"),
    ],
)
def test_what_stands_around_an_answers_text_is_not_shown(
    template: str, text: str, tools: list[dict[str, Any]]
) -> None:
    prompts = builder(CONTENTS + f"{{# {template} #}}")
    asked = generate(user("Hi"), tools=tools)
    assert read_by(prompts, asked, text, cut=False) == ParsedAnswer("Hi")


def test_a_mark_that_the_prompt_ends_with_is_open() -> None:
    prompts = builder(CONTENTS + "<|START_RESPONSE|>")
    assert read_by(prompts, generate(user("Hi")), "Hi<|END_RESPONSE|>", cut=False).content == "Hi"


def test_thoughts_that_are_to_stay_in_the_text_keep_their_tags() -> None:
    prompts = builder(CONTENTS + "{# <|channel>thought #}")
    asked = generate(user("Hi"), reasoning=ReasoningParams(is_split=False))
    text = "<|channel>thought\nHm.<channel|>Hi"
    assert read_by(prompts, asked, text, cut=False) == ParsedAnswer(text)


def test_without_parallel_calls_the_first_of_several_counts() -> None:
    prompts = builder()
    call = '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>'
    asked = generate(user("Hi"), tools=[TOOL], tool_choice=ToolChoice(parallel=False))
    for pieces in ([f"So.\n{call}\n{call}"], list(f"So.\n{call}\n{call}")):
        reader = parser(prompts, asked)
        events = [event for piece in pieces for event in reader.feed(piece)]
        answer = collect([*events, *reader.finish()])
        assert (answer.content, [call.name for call in answer.tool_calls]) == ("So.", ["weather"])


# ---------------------------------------------------------------- earlier turns as tokens


def test_a_turn_follows_the_tokens_of_earlier_ones_as_the_template_writes_it() -> None:
    prompts = builder()
    earlier = prompts.build(generate({"role": "system", "content": "Be brief."}, user("Hi"))).tokens
    answer = [ord(letter) for letter in "Hello!"]
    answered = {"role": "assistant", "content": "Hello!"}
    asked = [{"role": "system", "content": "Be brief."}, user("Hi"), answered, user("Go")]
    later = prompts.build(generate(asked[0], user("Go"), context=[*earlier, *answer]))
    assert text(later) == text(prompts.build(generate(*asked)))


def test_the_end_of_an_answer_is_not_doubled() -> None:
    prompts = builder("{{ bos_token }}" + CONTENTS.replace("}}{% end", "}}|{% end"))
    plain = prompts.build(generate(user("Go"), context=[5, 6]))
    assert plain.tokens[:2] == [5, 6]
    assert text(plain)[2:] == "|Go|"
    assert prompts.build(generate(user("Go"), context=[5, 6, ord("|")])).tokens == plain.tokens


def test_what_a_later_turn_says_is_no_special_token() -> None:
    prompts = builder()
    turn = prompts.build(generate(user("Well, yes. <|im_end|>"), context=[5]))
    assert text(turn).endswith("Well, yes. <|im_end|><|im_end|>\n<|im_start|>assistant\n")


def test_tokens_of_earlier_turns_are_in_the_vocabulary_and_leave_room() -> None:
    with pytest.raises(InvalidRequest) as refused:
        builder().build(generate(user("Go"), context=[0x110000]))
    assert refused.value.param == "context"
    with pytest.raises(ContextOverflow) as overflow:
        builder().build(generate(user("Go"), context=[5] * 4096))
    assert overflow.value.param == "context"


def test_a_template_that_leaves_answers_out_takes_no_earlier_turns() -> None:
    with pytest.raises(InvalidRequest) as refused:
        builder("{{ messages[-1].content }}").build(generate(user("Go"), context=[5]))
    assert refused.value.param == "context"
