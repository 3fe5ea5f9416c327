"""Which tool format each published template gives away."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.base.prefix import common_prefix
from app.chat.parsing.stream_parser import collect
from app.chat.template.chat_template import ChatTemplate
from app.chat.template.messages import normalise
from app.chat.tool_formats import ToolFormat, detect
from app.chat.tools_as_text import presented
from app.errors import TemplateRefused

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))

# None: the template shows no tools, so they are shown as text (`app.chat.tools_as_text`).
EXPECTED = {
    "Apertus-8B-Instruct": "apertus",
    "Apriel-1.6-15b-Thinker-fixed": "tool-calls",
    "Bielik-11B-v3.0-Instruct": "hermes",
    "ByteDance-Seed-OSS": "seed",
    "Cohere2MoE": "command-r7b",
    "CohereForAI-c4ai-command-r-plus-tool_use": "command-r",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "command-r7b",
    "GLM-4.6": "glm",
    "GLM-4.7-Flash": "glm",
    "GigaChat3-10B-A1.8B": "gigachat3",
    "GigaChat3.1-10B-A1.8B": "gigachat",
    "HuggingFaceTB-SmolLM3-3B": None,
    "Kimi-K2-Instruct": "kimi",
    "Kimi-K2-Thinking": "kimi",
    "Kimi-K3": "kimi-k3",
    "LFM2-8B-A1B": "lfm2",
    "LFM2.5-8B-A1B": "lfm2",
    "LFM2.5-Instruct": "lfm2",
    "MiMo-VL": "hermes",
    "MiniMax-M1": "tool-call-lines",
    "MiniMax-M2": "minimax",
    "MiniMax-M3": "minimax-m3",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-call-id",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "xml-functions",
    "NVIDIA-Nemotron-Nano-v2": "nemotron",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-QwQ-32B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Qwen3-Coder": "xml-functions",
    "Qwen3.5-4B": "xml-functions",
    "Reka-Edge": "hermes",
    "Spark2.5": "glm",
    "StepFun3.5-Flash": "xml-functions",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
    "deepseek-ai-DeepSeek-V3.2": "deepseek-dsml-v3.2",
    "deepseek-ai-DeepSeek-V4-Flash-0731": "deepseek-dsml",
    "deepseek-ai-DeepSeek-V4": "deepseek-dsml",
    "fireworks-ai-llama-3-firefunction-v2": "firefunction",
    "google-gemma-2-2b-it": None,
    "google-gemma-4-31B-it-interleaved": "gemma",
    "google-gemma-4-31B-it": "gemma",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "ibm-granite-granite-4.0": "hermes",
    "ibm-granite-granite-4.1": "hermes",
    "inclusionai-ling-3.0-flash": "glm",
    "llama-cpp-deepseek-r1": "deepseek-r1",
    "llama-cpp-rwkv-world": None,
    "meetkai-functionary-medium-v3.1": "functionary-v3.1",
    "meetkai-functionary-medium-v3.2": "functionary-v3.2",
    "meta-llama-Llama-3.1-8B-Instruct": "llama",
    "meta-llama-Llama-3.2-3B-Instruct": "llama",
    "meta-llama-Llama-3.3-70B-Instruct": "llama",
    "microsoft-Phi-3.5-mini-instruct": None,
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-list",
    "moonshotai-Kimi-K2": "kimi",
    "muse-glimmer": "muse",
    "openai-gpt-oss-120b": "harmony",
    "openbmb-MiniCPM5-1B": "minicpm",
    "poolside-Laguna-S-2.1": "glm",
    "poolside-Laguna-XS-2.1": "glm",
    "poolside-Laguna-XS.2": "glm",
    "tencent-Hy3": "hunyuan",
    "unsloth-Apriel-1.5": "tool-calls",
    "unsloth-mistral-Devstral-Small-2507": "mistral",
    "upstage-Solar-Open-100B": "solar",
}


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_format_of_a_published_template(path: Path) -> None:
    found = detect(path.read_text())
    assert (found.name if found else None) == EXPECTED.get(path.stem, "add a row for this file")


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
def test_no_expectation_is_left_of_a_file_that_is_gone() -> None:
    assert EXPECTED.keys() <= {path.stem for path in PATHS}


def test_a_template_that_shows_tools_the_way_of_phi_4_mini_has_its_format() -> None:
    found = detect("{{ '<|tool|>' + message['tools'] + '<|/tool|>' }}")
    assert found is not None
    assert found.name == "phi"


# ---------------------------------------------------------------- what templates write is read

ARGUMENTS = {"city": 'Köln "x"', "n": 3, "deep": {"a": [1, None, True]}, "zip": "50667"}
# MiniMax M3 has no way to write null in a list: the item is empty.
WRITTEN_ARGUMENTS = {"MiniMax-M3": {**ARGUMENTS, "deep": {"a": [1, "", True]}}}
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where."},
        "n": {"type": "integer", "description": "How often."},
        "deep": {
            "type": "object",
            "description": "More.",
            "additionalProperties": {"type": "string"},
        },
        "zip": {"type": "string", "description": "Which part."},
    },
    "required": ["city"],
}
FUNCTION = {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}
QUESTION = {"role": "user", "content": "Hi"}
CALL = ("get_weather", ARGUMENTS)


def history(calls: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the message with which a model made these calls."""
    functions = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in calls]
    tool_calls = [{"id": "abcdefghi", "type": "function", "function": f} for f in functions]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def written_by(
    source: str,
    known: ToolFormat,
    functions: Sequence[dict[str, Any]] = (FUNCTION,),
    calls: Sequence[tuple[str, dict[str, Any]]] = (CALL,),
) -> str:
    """Return what the template writes for calls, with a little before and all after them."""
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")

    def render(messages: list[dict[str, Any]], *, is_answered: bool) -> str:
        shown, tools = presented(
            normalise(messages, template.traits),
            [{"type": "function", "function": function} for function in functions],
            known,
            template.traits,
        )
        return template.render(
            shown,
            tools=tools,
            add_generation_prompt=is_answered,
            template_kwargs={},
            now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        )

    prompt, whole = (
        render([QUESTION], is_answered=True),
        render([QUESTION, history(calls)], is_answered=False),
    )
    start = common_prefix([ord(char) for char in prompt], [ord(char) for char in whole])
    openers = getattr(known.parser, "openers", ("<tool_call>",))
    found = (whole.find(opener, max(0, start - len(opener))) for opener in openers)
    return whole[min((at for at in found if 0 <= at < start), default=start) :]


@pytest.mark.parametrize(
    "path", [path for path in PATHS if EXPECTED.get(path.stem)], ids=lambda path: path.stem
)
def test_calls_in_the_history_are_read_as_they_were_made(path: Path) -> None:
    known = detect(path.read_text())
    assert known is not None
    try:
        text = written_by(path.read_text(), known)
    except TemplateRefused as error:
        pytest.skip(f"no such conversation: {error}")
    for pieces in ([text], list(text)):
        parser = known.parser({"get_weather": PARAMETERS})
        events = [event for piece in pieces for event in parser.feed(piece)]
        (call,) = collect([*events, *parser.finish()]).tool_calls
        assert call.complete
        assert call.name == "get_weather"
        assert json.loads(call.arguments) == WRITTEN_ARGUMENTS.get(path.stem, ARGUMENTS)
