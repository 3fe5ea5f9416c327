"""Every published template writes what Hugging Face transformers has it write, byte for byte.

The comparison is with transformers where that is installed, and always with the jinja2 sandbox
that transformers uses, without any of our limits.
"""

from __future__ import annotations

import datetime
import functools
import importlib.util
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from app.chat.template.chat_template import ChatTemplate
from app.chat.template.helpers import GenerationTag, raise_exception
from app.chat.template.messages import normalise
from app.errors import TemplateRefused
from scripts.template_table.shapes import SHAPES, TOOLS, Rendering

JsonObject = dict[str, Any]
Reference = Callable[[str, list[JsonObject], Rendering], str]

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
TEMPLATES = sorted(FOLDER.glob("*.jinja"))
pytestmark = pytest.mark.skipif(not TEMPLATES, reason=f"no published templates in {FOLDER}")

HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
PINNED = datetime.datetime(2025, 3, 9, 12, 0)
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
MARK = "CONTINUE_FINAL_MESSAGE_TAG "

MORE_THAN_TRANSFORMERS = {
    "Kimi-K2-Instruct": "it appends to a list of its own",
    "Kimi-K2-Thinking": "it appends to a list of its own",
    "llama-cpp-deepseek-r1": "it writes a generator as JSON",
    "CohereForAI-c4ai-command-r-plus-tool_use": "it only takes a list of tools, if an empty one",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "the same",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "the same",
    "fireworks-ai-llama-3-firefunction-v2": "it wants its tools as JSON text, and the date",
}
"""Templates that transformers refuses as they are used here, and why we do not."""

DEMANDING: JsonObject = {
    "type": "function",
    "function": {
        "name": "plan",
        "parameters": {
            "type": "object",
            "properties": {
                "days": {"type": "integer", "enum": [1, 2], "default": 1},
                "zone": {"type": ["string", "null"], "description": 'say "UTC" <or> ünder'},
                "words": {"type": "array", "items": {"type": "string"}},
                "style": {"type": "object", "properties": {"short": {"type": "boolean"}}},
                "any": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                "bare": {},
            },
            "required": [],
        },
    },
}


def _renderings() -> Iterator[Rendering]:
    for shape in SHAPES:
        yield from shape.ways
        if shape.unlike:
            yield shape.unlike
    question = {"role": "user", "content": "Plan it."}
    yield Rendering([question], [DEMANDING])
    yield Rendering([question], [*TOOLS, DEMANDING], template_kwargs={"enable_thinking": False})
    for text in ("Sure, ", "Sure.\n\n", "<think>\nHm.\n</think>\n\nSo"):
        half = {"role": "assistant", "content": text}
        yield Rendering([question, half], None, False, True)
        yield Rendering([question, half, question])


RENDERINGS = list(_renderings())


# ---------------------------------------------------------------- references


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Pinned:
        return cls(PINNED.year, PINNED.month, PINNED.day, PINNED.hour)


@pytest.fixture
def of_transformers(monkeypatch: pytest.MonkeyPatch) -> Reference:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    monkeypatch.setattr(utils, "datetime", Pinned)

    def render(source: str, conversation: list[JsonObject], how: Rendering) -> str:
        texts, _ = utils.render_jinja_template(
            [conversation],
            tools=how.tools,
            chat_template=source,
            add_generation_prompt=how.add_generation_prompt,
            continue_final_message=how.continue_final_message,
            **how.template_kwargs,
            **SPECIAL_TOKENS,
        )
        return str(texts[0])

    return render


def of_jinja2(source: str, conversation: list[JsonObject], how: Rendering) -> str:
    return _written(_plain(source), conversation, how)


def of_a_lenient_one(source: str, conversation: list[JsonObject], how: Rendering) -> str:
    """What transformers would write if it took what it refuses."""

    functions = json.dumps([tool["function"] for tool in how.tools or []], indent=4)
    more = {"functions": functions, "datetime": "2025-03-09 12:00:00"}
    lenient = Rendering(
        how.messages,
        how.tools or [],
        how.add_generation_prompt,
        how.continue_final_message,
        {**more, **how.template_kwargs},
    )
    return _written(_lenient(source), conversation, lenient)


@functools.cache
def _plain(source: str) -> Template:
    return _compiled(ImmutableSandboxedEnvironment, source, json.dumps)


@functools.cache
def _lenient(source: str) -> Template:
    def dumps(value: Any, **options: Any) -> str:
        return json.dumps(list(value) if inspect.isgenerator(value) else value, **options)

    return _compiled(SandboxedEnvironment, source, dumps)


def _compiled(kind: type[SandboxedEnvironment], source: str, dumps: Callable[..., str]) -> Template:
    environment = kind(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", GenerationTag],
    )
    environment.filters["tojson"] = lambda value, ensure_ascii=False, **options: dumps(
        value, ensure_ascii=ensure_ascii, **options
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = PINNED.strftime
    return environment.from_string(source)


def _written(template: Template, conversation: list[JsonObject], how: Rendering) -> str:
    if how.continue_final_message:
        conversation = _marked(conversation)
    text = template.render(
        messages=conversation,
        tools=how.tools,
        documents=None,
        add_generation_prompt=how.add_generation_prompt,
        **how.template_kwargs,
        **SPECIAL_TOKENS,
    )
    return _cut(text, how.messages[-1]["content"]) if how.continue_final_message else text


def _marked(conversation: list[JsonObject]) -> list[JsonObject]:
    content = conversation[-1]["content"]
    if isinstance(content, str):
        return [*conversation[:-1], {**conversation[-1], "content": content + MARK}]
    parts = [*content[:-1], {**content[-1], "text": content[-1]["text"] + MARK}]
    return [*conversation[:-1], {**conversation[-1], "content": parts}]


def _cut(text: str, said: str) -> str:
    if said.strip() not in text or MARK.strip() not in text:
        raise ValueError("the message was changed")
    kept, _, after = text.rpartition(MARK.strip())
    return kept if after.startswith(" ") else kept.rstrip()


# ---------------------------------------------------------------- comparisons


def compare(path: Path, reference: Reference) -> int:
    """Check all renderings of a template; return how many both write."""
    source = path.read_text()
    template = ChatTemplate(source, **SPECIAL_TOKENS)
    n_written = 0
    for how in RENDERINGS:
        conversation = normalise(how.messages, template.traits)
        try:
            ours: str | None = template.render(
                conversation,
                tools=how.tools,
                add_generation_prompt=how.add_generation_prompt,
                continue_final_message=how.continue_final_message,
                template_kwargs=how.template_kwargs,
                now=PINNED,
            )
        except TemplateRefused:
            ours = None
        try:
            expected: str | None = reference(source, conversation, how)
        except Exception:
            expected = None
        if expected is None and ours is not None:
            assert path.stem in MORE_THAN_TRANSFORMERS
            expected = of_a_lenient_one(source, conversation, how)
        assert ours == expected
        n_written += ours is not None
    return n_written


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_writes_what_jinja2s_own_sandbox_writes(path: Path) -> None:
    assert compare(path, of_jinja2) > len(RENDERINGS) / 3


@pytest.mark.parametrize(
    "path", TEMPLATES if HAS_TRANSFORMERS else TEMPLATES[:1], ids=lambda path: path.stem
)
def test_a_template_writes_what_transformers_writes(path: Path, of_transformers: Reference) -> None:
    assert compare(path, of_transformers) > len(RENDERINGS) / 3


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("arguments", ['{"city": "distillerMARK', '["distillerMARK"]'])
def test_malformed_arguments_are_shown_wherever_proper_ones_are(path: Path, arguments: str) -> None:
    template = ChatTemplate(path.read_text(), **SPECIAL_TOKENS)

    def shown(text: str) -> bool:
        call = {"id": "call00001", "function": {"name": "get_weather", "arguments": text}}
        messages: list[JsonObject] = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call00001", "content": "12"},
        ]
        try:
            prompt = template.render(
                normalise(messages, template.traits),
                tools=TOOLS,
                add_generation_prompt=True,
                template_kwargs={},
                now=PINNED,
            )
        except TemplateRefused:
            return False
        return "distillerMARK" in prompt

    assert shown(arguments) == shown('{"city": "distillerMARK"}')
