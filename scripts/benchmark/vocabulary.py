"""Owns the made-up vocabulary of benchmark models: byte-level BPE over English-like letter groups.

It copies no existing tokeniser. English words split into groups of two to four letters, which is
somewhat more tokens than with a trained vocabulary; prompts are therefore sized in tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
_CONTROLS = (END_OF_TEXT, START_OF_TURN, END_OF_TURN)

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # `llama_token_type` in llama.cpp's llama.h
_SPACE = "Ġ"  # how byte-level BPE writes the byte of a blank
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"  # the most frequent one in English first

# Tools are shown and called as Hermes models do it, which both servers know.
CHAT_TEMPLATE = """\
{%- if tools -%}
<|im_start|>system
These are your tools, as JSON:
<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
To call one, write:
<tool_call>
{"name": "the name", "arguments": {"of": "the call"}}
</tool_call><|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF's `tokenizer.ggml.*` keys hold; lists are indexed by token id."""

    tokens: list[str]
    token_types: list[int]
    merges: list[str]

    def id_of(self, control: str) -> int:
        """Return the id of a token that is no part of words, such as a control token."""
        return self.tokens.index(control)


def make_vocabulary(n_vocab: int, more: Sequence[str] = ()) -> Vocabulary:
    """Return a vocabulary of `n_vocab` tokens: bytes, merges, unused ones, control tokens.

    Args:
        n_vocab: how many there are in all.
        more: further tokens that a template writes; those in `<|…|>` and those of Gemma's turns
            are control tokens, others are read and written as text.

    Raises:
        ValueError: `n_vocab` has no room for the 256 bytes and the control tokens.
    """
    more = [token for token in dict.fromkeys(more) if token not in _CONTROLS]
    n_merges = n_vocab - 256 - len(_CONTROLS) - len(more)
    if n_merges < 0:
        raise ValueError(f"a vocabulary of {n_vocab} tokens cannot hold the 256 bytes")
    pairs = list(itertools.islice(_merges(), n_merges))
    n_unused = n_merges - len(pairs)
    unused = [f"[unused {index}]" for index in range(n_unused)]
    words = [*_byte_characters(), *(left + right for left, right in pairs)]
    tokens = [*words, *unused, *more, *_CONTROLS]
    types = [_NORMAL] * len(words) + [_UNUSED] * n_unused
    types += [_CONTROL if _is_control(token) else _USER_DEFINED for token in more]
    types += [_CONTROL] * len(_CONTROLS)
    return Vocabulary(tokens, types, [f"{left} {right}" for left, right in pairs])


def _is_control(token: str) -> bool:
    return token.startswith("<|") or token.endswith("_of_turn>")


def _byte_characters() -> list[str]:
    """Return the printable character that stands for each byte, as GPT-2 defined it."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)}
    printable |= set(range(ord("®"), ord("ÿ") + 1))
    shifted = itertools.count(256)
    return [chr(byte if byte in printable else next(shifted)) for byte in range(256)]


def _merges() -> Iterator[tuple[str, str]]:
    """Yield pairs to merge, the strongest first; each makes a token that no other pair makes."""
    letters = list(_LETTERS)
    starts = [_SPACE + letter for letter in letters]
    pairs = _by_rank(letters, letters)
    yield from ((_SPACE, letter) for letter in letters)
    yield from pairs
    groups = [left + right for left, right in pairs]
    yield from _by_rank(starts, letters)
    yield from _by_rank(groups, letters)
    yield from _by_rank(starts, groups)
    yield from _by_rank(groups, groups)


def _by_rank(lefts: list[str], rights: list[str]) -> list[tuple[str, str]]:
    """Return all pairs, those of two frequent parts first."""
    ranked = itertools.product(enumerate(lefts), enumerate(rights))
    # Ranks are shares of each list, so that a long list does not outweigh a short one.
    ordered = sorted(ranked, key=lambda pair: pair[0][0] / len(lefts) + pair[1][0] / len(rights))
    return [(left, right) for (_, left), (_, right) in ordered]
