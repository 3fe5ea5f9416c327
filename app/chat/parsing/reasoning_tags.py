"""Owns the tags around a model's thoughts, and finding those of a template.

Pure; must not know tool formats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAYBE_TOKEN = re.compile(r"<[^<>\s]+>")
_OPEN_QUOTE = re.compile(r"""(?:^|[\s(\[{:])["'`\u2018\u201c]+$""")
N_QUOTE_CHARS = 8
"""How much of the text before a tag tells whether it is quoted."""


@dataclass(frozen=True)
class ReasoningTags:
    """The texts around a model's thoughts.

    Attributes:
        opening: stands before them; often the prompt ends with it.
        closing: stands after them.
        also_end: tags that end them too, and belong to what follows.
    """

    opening: str
    closing: str
    also_end: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Texts that may be special tokens; those that are must reach the parser as text."""
        tags = (self.opening, self.closing, *self.also_end)
        parts = (part for tag in tags for part in _MAYBE_TOKEN.findall(tag))
        return tuple(dict.fromkeys((*tags, *parts)))


_THINK = ReasoningTags("<think>", "</think>")
_HUNYUAN = ReasoningTags("<think:opensource>", "</think:opensource>")
_KIMI_K3 = ReasoningTags(
    "<|open|>think<|sep|>", "<|close|>think<|sep|>", also_end=("<|open|>response<|sep|>",)
)
_APRIEL = ReasoningTags("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")

# What a template contains, and the tags that it tells of; the first that is found wins.
_MARKS: tuple[tuple[str, ReasoningTags], ...] = (
    ("<|channel>thought", ReasoningTags("<|channel>thought", "<channel|>")),
    (
        "<|inner_prefix|>",
        ReasoningTags("<|inner_prefix|>", "<|inner_suffix|>", also_end=("<|tools_prefix|>",)),
    ),
    (
        "<|START_THINKING|>",
        ReasoningTags(
            "<|START_THINKING|>",
            "<|END_THINKING|>",
            also_end=("<|START_RESPONSE|>", "<|START_TEXT|>"),
        ),
    ),
    ("[THINK]", ReasoningTags("[THINK]", "[/THINK]")),
    ("<seed:think>", ReasoningTags("<seed:think>", "</seed:think>")),
    ("<mm:think>", ReasoningTags("<mm:think>", "</mm:think>")),
    ("</think{}>", _HUNYUAN),
    ("open_tag('think'", _KIMI_K3),
    (_APRIEL.opening, _APRIEL),
    ("</think>", _THINK),
    ("</thinking>", ReasoningTags("<thinking>", "</thinking>")),
)


def detect_reasoning(template_source: str) -> ReasoningTags | None:
    """Return the tags that the template's model writes around its thoughts; None without any."""
    return next((tags for mark, tags in _MARKS if mark in template_source), None)


def opens_reasoning(prompt_text: str, tags: ReasoningTags, *, goes_on: bool = False) -> bool:
    """Return whether a rendered prompt ends where the model is to think.

    Args:
        goes_on: the prompt ends in the midst of a message, which may be in its thoughts.
    """
    _, opening, after = prompt_text.rpartition(tags.opening)
    return bool(opening) and (tags.closing not in after if goes_on else not after.strip())


def is_quoted(before: str) -> bool:
    """Return whether a tag after the text `before` is talked about, as in `` the `<tag>` ``."""
    return _OPEN_QUOTE.search(before) is not None


def opened_text(prompt_text: str, tags: ReasoningTags, *, goes_on: bool = False) -> str:
    """Return the end of a rendered prompt, from the tag on that opens thoughts; "" without one."""
    if not opens_reasoning(prompt_text, tags, goes_on=goes_on):
        return ""
    return prompt_text[prompt_text.rfind(tags.opening) :]
