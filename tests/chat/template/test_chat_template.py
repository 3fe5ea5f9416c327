"""What a chat template renders to, and that nothing a hostile one does gets out.

Covers `app.chat.template.helpers` too.
"""

from __future__ import annotations

import datetime
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.messages import normalise
from app.errors import TemplateRefused, TemplateTooSlow

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
needs_templates = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no published templates in {FOLDER}"
)
PINNED = datetime.datetime(2025, 3, 9, 12, 0)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "How are you?"},
]
CALL: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather in Köln?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call00001",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "12 degrees"},
]


def system(text: str = "Be brief.") -> dict[str, Any]:
    return {"role": "system", "content": text}


def published(name: str) -> ChatTemplate:
    return ChatTemplate((FOLDER / f"{name}.jinja").read_text(), bos_token="<s>", eos_token="</s>")


def prompt(template: ChatTemplate, messages: list[dict[str, Any]], **options: Any) -> str:
    options = {"tools": None, "add_generation_prompt": True, "template_kwargs": {}} | options
    return template.render(normalise(messages, template.traits), now=PINNED, **options)


def write(source: str, **variables: Any) -> str:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(
        [{"role": "user", "content": "Hi"}],
        tools=None,
        add_generation_prompt=True,
        template_kwargs=variables,
        now=PINNED,
        deadline_s=0.5,
    )


# ---------------------------------------------------------------- the language


def test_tojson_neither_sorts_nor_escapes() -> None:
    value = {"z": "<b>&'ü", "a": [1, None, True]}
    assert write("{{ v | tojson }}", v=value) == """{"z": "<b>&'ü", "a": [1, null, true]}"""


def test_tojson_takes_the_arguments_of_json_dumps() -> None:
    assert write("{{ v|tojson(indent=2) }}", v={"a": 1}) == '{\n  "a": 1\n}'
    assert write("{{ v|tojson(separators=(',', ':')) }}", v={"a": 1, "b": 2}) == '{"a":1,"b":2}'
    assert write("{{ v|tojson(sort_keys=true) }}", v={"b": 1, "a": 2}) == '{"a": 2, "b": 1}'
    assert write("{{ v|tojson(ensure_ascii=True) }}", v="ü") == '"\\u00fc"'
    assert write("{{ tojson(v) }}", v="ü") == '"ü"'


def test_blocks_swallow_their_own_line() -> None:
    assert write("  {% if true %}\nyes\n  {% endif %}\nend\n") == "yes\nend"


def test_loop_controls_and_the_generation_tag_work() -> None:
    source = (
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}"
        "{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        "{% generation %}{% set x = 'in' %}{{ x }}{% endgeneration %}{{ x }}"
    )
    assert write(source) == "02in"


def test_methods_filters_and_operators_work_inside_loops() -> None:
    source = (
        "{% for w in ['a b', 'c'] %}{{ w.replace(' ', '_') }}{{ '-'.join(w.split()) }}"
        "{{ w|replace('a', 'x') }}{{ [w, 1]|join('+') }}{{ w ~ 1 }}{{ w[:1] }}{{ w * 2 }}"
        "{{ '%s/%d' % (w, 3) }}{{ '{}:{:>3}'.format(w, 1) }}{{ [1, 2]|sum }}{{ w == 'c' }};"
        "{% endfor %}"
    )
    assert write(source) == (
        "a_ba-bx ba b+1a b1aa ba ba b/3a b:  13False;cccc+1c1cccc/3c:  13True;"
    )


def test_the_date_is_the_pinned_one() -> None:
    assert write("{{ strftime_now('%d %b %Y') }}") == "09 Mar 2025"


def test_variables_are_those_of_transformers() -> None:
    source = (
        "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}"
        "{{ documents is none }}{{ messages[0].role }}{{ missing }}{{ missing is defined }}"
    )
    assert write(source) == "<s></s>TrueTrueTrueuserFalse"


def test_request_variables_reach_the_template_but_cannot_replace_the_conversation() -> None:
    assert write("{{ enable_thinking }}", enable_thinking=False) == "False"
    assert write("{{ messages[0].content }}", messages=[]) == "Hi"


def test_an_offer_of_no_tools_is_none() -> None:
    template = ChatTemplate("{{ tools is none }}", bos_token="", eos_token="")
    assert prompt(template, TALK, tools=[]) == "True"


def test_a_template_that_only_takes_a_list_of_tools_gets_an_empty_one() -> None:
    template = ChatTemplate(
        "{% for t in tools %}{{ t }}{% endfor %}{{ tools }}", bos_token="", eos_token=""
    )
    assert prompt(template, TALK) == "[]"


def test_a_template_that_reads_functions_and_datetime_gets_them() -> None:
    template = ChatTemplate("{{ functions + datetime }}", bos_token="", eos_token="")
    assert prompt(template, TALK) == "[]2025-03-09 12:00:00"
    assert '"name": "get_weather"' in prompt(template, TALK, tools=[WEATHER])
    assert prompt(template, TALK, template_kwargs={"functions": "f", "datetime": "d"}) == "fd"


# ---------------------------------------------------------------- refusals


def test_a_template_that_does_not_compile_names_the_line() -> None:
    with pytest.raises(TemplateRefused, match=r"line 2"):
        ChatTemplate("fine\n{% if %}", bos_token="", eos_token="")


def test_raise_exception_is_told_to_the_caller() -> None:
    with pytest.raises(TemplateRefused, match="roles must alternate") as refusal:
        write("{{ raise_exception('roles must alternate') }}")
    assert refusal.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{{ messages[0].nothing.more }}",
        "{{ {}['a']['b'] }}",
        "{% include 'x' %}",
        "{{ messages.append(1) }}",
        "{{ 'a'.encode() }}",
    ],
)
def test_every_error_inside_a_template_is_a_refusal(source: str) -> None:
    with pytest.raises(TemplateRefused):
        write(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ ''|map('attr', '__class__')|list }}{{ [1]|map(attribute='__class__')|list }}",
    ],
)
def test_attribute_tricks_are_unsafe(source: str) -> None:
    with pytest.raises(TemplateRefused, match="unsafe"):
        write(source)


DOUBLING = "{% set n = namespace(s='x' * 1000) %}{% for i in range(60) %}{% set n.s = "
HOSTILE = {
    "endless loops": "{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "endless output": "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'x' * 9999 }}"
    "{% endfor %}{% endfor %}",
    "a large range": "{% for a in range(10**9) %}{% endfor %}",
    "macro recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "loop recursion": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "text times a number": "{{ 'a' * 10**9 }}",
    "a list times a number": "{{ ([0] * 10**9)|length }}",
    "powers": "{{ 10**9999999999 }}",
    "products": "{% set n = namespace(i=9**999) %}{% for i in range(99) %}"
    "{% set n.i = n.i * n.i %}{% endfor %}{{ n.i }}",
    "format widths": "{{ '%999999999d' % 1 }}",
    "starred widths": "{{ '%*d' % (999999999, 1) }}",
    "format filter": "{{ '%999999999d'|format(1) }}",
    "str.format": "{{ '{:999999999}'.format(1) }}",
    "nested str.format": "{{ '{:{}}'.format(1, 999999999) }}",
    "center": "{{ 'a'.center(999999999) }}",
    "the center filter": "{{ 'a'|center(999999999) }}",
    "indent": "{{ ('\\n' * 100000)|indent(100000) }}",
    "expandtabs": "{{ ('\\t' * 100000).expandtabs(100000) }}",
    "to_bytes": "{{ (1).to_bytes(999999999, 'big') }}",
    "rounding": "{{ 1.5|round(999999999, 'floor') }}",
    "adding": DOUBLING + "n.s + n.s %}{% endfor %}{{ n.s }}",
    "joining": DOUBLING + "n.s ~ n.s %}{% endfor %}{{ n.s }}",
    "replacing": DOUBLING + "n.s.replace('x', 'xx') %}{% endfor %}{{ n.s }}",
    "the replace filter": DOUBLING + "n.s|replace('x', 'xx') %}{% endfor %}{{ n.s }}",
    "the join filter": DOUBLING + "[n.s, n.s]|join %}{% endfor %}{{ n.s }}",
    "str.join": DOUBLING + "''.join([n.s, n.s]) %}{% endfor %}{{ n.s }}",
    "nested lists": DOUBLING + "[n.s, n.s] %}{% endfor %}{{ n.s }}",
    "nested lists as JSON": DOUBLING + "[n.s, n.s] %}{% endfor %}{{ n.s|tojson }}",
    "nested lists as text": DOUBLING + "[n.s, n.s] %}{% endfor %}{{ '%s' % [n.s] }}",
    "str.join of nested lists": DOUBLING + "[n.s, n.s] %}{% endfor %}{{ ''.join([n.s]) }}",
    "comparing nested lists": "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
    "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
    "sorting nested lists": "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
    "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ [n.a, n.b]|sort }}",
    "copies by slicing": "{% set n = namespace(l=[]) %}{% set s = 'x' * 4000000 %}"
    "{% for i in range(9999) %}{% set n.l = n.l + [s[1:]] %}{% endfor %}",
    "set blocks": "{% set n = namespace(s='x' * 1000) %}{% for i in range(60) %}"
    "{% set b %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = b %}{% endfor %}{{ n.s }}",
}


LIMITS = "larger than|longer than|ran for|too deeply|too big|unsafe"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_cut_off(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateRefused, match=LIMITS):
        write(HOSTILE[name])
    assert time.monotonic() - began < 3


def test_a_hostile_constant_is_cut_off_while_compiling() -> None:
    source = "{{ 'x'" + "|replace('x', 'xxxxxxxxxx')" * 20 + " }}"
    with pytest.raises(TemplateRefused):
        write(source)


def test_a_long_prompt_is_refused_by_its_bytes() -> None:
    template = ChatTemplate("{{ messages[0].content }}", bos_token="", eos_token="")
    message = [{"role": "user", "content": "ü" * 60}]
    assert prompt(template, message, max_output_bytes=120) == "ü" * 60
    with pytest.raises(TemplateRefused, match="119 bytes"):
        prompt(template, message, max_output_bytes=119)


def test_the_deadline_puts_back_the_alarm_it_found() -> None:
    def on_alarm(*_: object) -> None: ...

    former = signal.signal(signal.SIGALRM, on_alarm)
    timer = signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with pytest.raises(TemplateTooSlow, match="ran for more than"):
            write(HOSTILE["endless loops"])
        assert signal.getsignal(signal.SIGALRM) is on_alarm
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 50 < left_s < 60
    finally:
        signal.signal(signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_other_threads_render_without_a_deadline() -> None:
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(write("{{ messages[0].content }}")))
    thread.start()
    thread.join()
    assert texts == ["Hi"]


# ---------------------------------------------------------------- ChatML


def test_chatml_writes_turns() -> None:
    template = ChatTemplate(CHATML, bos_token="", eos_token="")
    assert prompt(template, [system(), *TALK[:1]]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt(template, TALK[:2], add_generation_prompt=False) == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi there<|im_end|>\n"
    )


def test_chatml_offers_tools_and_shows_calls_and_results() -> None:
    text = prompt(ChatTemplate(CHATML, bos_token="", eos_token=""), CALL, tools=[WEATHER])
    assert text.startswith("<|im_start|>system\n# Tools")
    assert '<tools>\n{"type": "function", "function": {"name": "get_weather"' in text
    assert text.endswith(
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_weather", "arguments": '
        '{"city": "Köln"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n12 degrees\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_chatml_keeps_the_results_of_one_turn_together() -> None:
    results = [*CALL, {"role": "tool", "tool_call_id": "call00002", "content": "13 degrees"}]
    text = prompt(ChatTemplate(CHATML, bos_token="", eos_token=""), results)
    assert (
        "<|im_start|>user\n<tool_response>\n12 degrees\n</tool_response>"
        "\n<tool_response>\n13 degrees\n</tool_response><|im_end|>" in text
    )


# ---------------------------------------------------------------- published templates


TURNS = {
    "Qwen-Qwen2.5-7B-Instruct": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nHow are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "Qwen-Qwen3-0.6B": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nHow are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "meta-llama-Llama-3.2-3B-Instruct": (
        "<s><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 09 Mar 2025\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHow are you?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "mistralai-Mistral-Nemo-Instruct-2407": (
        "<s>[INST]Hello[/INST]Hi there</s>[INST]Be brief.\n\nHow are you?[/INST]"
    ),
    "microsoft-Phi-3.5-mini-instruct": (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n"
        "<|user|>\nHow are you?<|end|>\n<|assistant|>\n"
    ),
}


@needs_templates
@pytest.mark.parametrize("name", TURNS)
def test_a_system_message_and_turns_render_as_the_model_was_trained(name: str) -> None:
    assert prompt(published(name), [system(), *TALK]) == TURNS[name]


@needs_templates
def test_hermes_2_pro_opens_with_its_tools() -> None:
    text = prompt(published("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use"), CALL, tools=[WEATHER])
    assert text.startswith("<s><|im_start|>system\nYou are a function calling AI model.")
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n' in text
    assert "<|im_start|>tool\n<tool_response>\n12 degrees\n</tool_response>" in text


@needs_templates
def test_gemma_2_takes_turns_and_refuses_a_system_message() -> None:
    template = published("google-gemma-2-2b-it")
    assert prompt(template, TALK[:1]) == (
        "<s><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n"
    )
    with pytest.raises(TemplateRefused, match="System role not supported"):
        prompt(template, [system(), *TALK])
    with pytest.raises(TemplateRefused, match="must alternate"):
        prompt(template, [TALK[0], TALK[0]])


CALLS = {
    "Qwen-Qwen2.5-7B-Instruct": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>',
        "<|im_start|>user\n<tool_response>\n12 degrees\n</tool_response><|im_end|>\n",
    ),
    "Qwen-Qwen3-0.6B": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>',
        "<|im_start|>user\n<tool_response>\n12 degrees\n</tool_response><|im_end|>\n",
    ),
    "meta-llama-Llama-3.2-3B-Instruct": (
        '{"name": "get_weather", "parameters": {"city": "Köln"}}<|eot_id|>',
        '<|start_header_id|>ipython<|end_header_id|>\n\n"12 degrees"<|eot_id|>',
    ),
    "mistralai-Mistral-Nemo-Instruct-2407": (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Köln"}, "id": "call00001"}]',
        '[TOOL_RESULTS]{"content": 12 degrees, "call_id": "call00001"}[/TOOL_RESULTS]',
    ),
}


@needs_templates
@pytest.mark.parametrize("name", CALLS)
def test_tools_calls_and_results_are_shown(name: str) -> None:
    text = prompt(published(name), CALL, tools=[WEATHER])
    offer = text.index("Weather of a city")
    call, result = (text.index(fragment) for fragment in CALLS[name])
    assert offer < call < result


@needs_templates
def test_qwen3_thinks_unless_told_not_to() -> None:
    template = published("Qwen-Qwen3-0.6B")
    assert prompt(template, TALK).endswith("<|im_start|>assistant\n")
    quiet = prompt(template, TALK, template_kwargs={"enable_thinking": False})
    assert quiet.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
