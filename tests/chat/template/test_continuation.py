"""A prompt can end inside its last message, right after the message's text."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.template.chat_template import CHATML, ChatTemplate
from app.errors import TemplateRefused

ECHO = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
TRIMMING = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"
PARTS = "{% for part in messages[1].content %}[{{ part.text }}]{% endfor %}"


def continued(source: str, content: Any, *, before: str = "Hi") -> str:
    return ChatTemplate(source, bos_token="", eos_token="").render(
        [{"role": "user", "content": before}, {"role": "assistant", "content": content}],
        tools=None,
        add_generation_prompt=False,
        continue_final_message=True,
        template_kwargs={},
    )


def test_the_prompt_ends_right_after_the_text() -> None:
    assert continued(CHATML, "Once upon").endswith("<|im_start|>assistant\nOnce upon")


def test_space_at_the_end_stays_where_the_template_keeps_it() -> None:
    assert continued(ECHO, "Once \n") == "[Hi][Once \n"
    assert continued(TRIMMING, "Once \n") == "[Hi][Once"


def test_an_empty_message_is_continued_from_its_beginning() -> None:
    assert continued(CHATML, "").endswith("<|im_start|>assistant\n")
    assert continued(PARTS, []) == "["


def test_of_several_parts_the_last_is_continued() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert continued(PARTS, parts) == "[one][two"
    assert [part["text"] for part in parts] == ["one", "two"], "the client's are left alone"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content }}",
        "{{ messages[1].content | upper }}",
        "{{ messages[1].content | tojson }}",
        "{{ messages[1].content[:3] }}",
        "{{ messages[1].content.split('</think>')[-1] }}",
    ],
)
def test_a_message_that_the_template_changes_cannot_be_continued(source: str) -> None:
    with pytest.raises(TemplateRefused, match="cannot be continued") as refusal:
        continued(source, '<think>no "why"</think>Once')
    assert refusal.value.param == "messages"


def test_the_mark_in_another_message_does_no_harm() -> None:
    assert continued(ECHO, "Once", before="CONTINUE_FINAL_MESSAGE_TAG x").endswith(" x][Once")
