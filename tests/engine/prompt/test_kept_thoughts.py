"""Thoughts stay in the text where a request asks for that, whatever the format writes them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.protocol import ReasoningParams
from tests.engine.prompt.test_builder import builder, generate, parser, user

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
HARMONY = "<|channel|><|message|>{% for m in messages %}{{ m.content }}{% endfor %}"
THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|>"
# What models write that think in messages of their own, by template: thought, head of the answer.
WRITTEN = {
    "openai-gpt-oss-120b": (THOUGHT, "<|start|>assistant<|channel|>final<|message|>"),
    "muse-glimmer": (" to=self<|message|>Hm.<|eom|>", "<|start|>assistant to=user<|message|>"),
    "upstage-Solar-Open-100B": ("<|think|>Hm.<|end|>", "<|begin|>assistant<|content|>"),
}


def read(template: str, text: str, *, is_split: bool) -> ParsedAnswer:
    asked = generate(user("Hello"), reasoning=ReasoningParams(is_split=is_split))
    found = parser(builder(template, n_ctx=100_000), asked)
    return collect([*found.feed(text), *found.finish()])


@pytest.mark.parametrize(
    ("is_split", "expected"),
    [(True, ParsedAnswer("Yes.", "Hm.")), (False, ParsedAnswer(f"{THOUGHT}Yes."))],
)
def test_a_request_says_whether_thoughts_stay_in_the_text(
    is_split: bool, expected: ParsedAnswer
) -> None:
    text = f"{THOUGHT}<|start|>assistant<|channel|>final<|message|>Yes."
    assert read(HARMONY, text, is_split=is_split) == expected


@pytest.mark.parametrize("name", WRITTEN)
def test_published_templates_keep_thoughts_with_their_tags(name: str) -> None:
    path = FOLDER / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"no {path}")
    thought, head = WRITTEN[name]
    source = path.read_text(encoding="utf-8")
    assert read(source, f"{thought}{head}Yes.", is_split=True) == ParsedAnswer("Yes.", "Hm.")
    assert read(source, f"{thought}{head}Yes.", is_split=False) == ParsedAnswer(f"{thought}Yes.")
