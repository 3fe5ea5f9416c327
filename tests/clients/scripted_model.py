"""Owns a model that says a script: one call, and a sentence once the call's result is there.

The engine is the real one. The model's blocks add nothing, so that the next token depends on the
last one alone; the chat template ends a prompt with one of two tokens, which begin the two parts of
the script. Where the grammar of calls has a say, it picks among the few tokens that are likely
everywhere: the tool's name, and its argument.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.clients.wide_model import WIDTH, uint32, wide_model
from tests.models.gguf_files import F32, Raw, text
from tests.models.gguf_rewrite import Gguf, Tensor

_NORMAL, _CONTROL = 1, 3
_ACT, _TELL = "<|act|>", "<|tell|>"
_PROMPT = "<|im_start|>assistant\\n"
_CALL_BEGINS, _CALL_ENDS, _TURN_ENDS = 2009, 2010, 2006  # of the bundled model's vocabulary
_PICK = 3.0  # times 16, what the norm makes of a row with one number in it


def write_scripted_model(path: Path, tool: str, argument: str, last: str) -> Path:
    """Write a model.

    Args:
        path: the file.
        tool: the name of the tool that it calls.
        argument: text of the call's first argument; nothing in it is escaped.
        last: what it says when the call has a result.
    """
    model = wide_model()
    n_tokens = next(each for each in model.tensors if each.name == "token_embd.weight").shape[1]
    added = [_ACT, _TELL, f'{tool}"', argument, last]
    act, tell, name, said, told = range(n_tokens, n_tokens + len(added))
    words = _words(model)
    closed = words.index(b'"}')
    follows = {
        act: _CALL_BEGINS,
        said: closed,
        closed: _CALL_ENDS,
        _CALL_ENDS: _TURN_ENDS,
        tell: told,
        told: _TURN_ENDS,
    }
    inward = np.zeros((n_tokens + len(added), WIDTH), np.float32)
    outward = np.zeros_like(inward)
    inward[:, 0] = 1.0  # any token: the argument, else the name, else what opens a string
    outward[said, 0], outward[name, 0] = 3 * _PICK, 2 * _PICK
    for opening in (b'"', 'Ġ"'.encode()):
        outward[words.index(opening), 0] = _PICK
    for row, (token, following) in enumerate(follows.items(), 1):
        inward[token] = 0.0
        inward[token, row] = 1.0
        outward[following, row] = 4 * _PICK
    return _with_vocabulary(_with_weights(model, inward, outward), added).write(path)


def _with_weights(model: Gguf, inward: NDArray[np.float32], outward: NDArray[np.float32]) -> Gguf:
    """Return it with these rows for tokens, and blocks that add nothing."""
    tensors = []
    for each in model.tensors:
        if each.name == "token_embd.weight":
            tensors.append(_rows(each.name, inward))
        elif each.name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensors.append(replace(each, data=bytes(len(each.data))))
        elif each.name == "output_norm.weight":
            tensors.append(replace(each, data=np.ones(WIDTH, np.float32).tobytes()))
        else:
            tensors.append(each)
    return Gguf(model.values, [*tensors, _rows("output.weight", outward)])


def _rows(name: str, values: NDArray[np.float32]) -> Tensor:
    return Tensor(name, (values.shape[1], values.shape[0]), F32, values.tobytes())


def _with_vocabulary(model: Gguf, added: list[str]) -> Gguf:
    """Return it with more tokens, and a template that ends prompts with one of the first two."""
    tokens, kinds = (model.values[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    written = [added[0], added[1], *map(_as_bytes_are_written, added[2:])]
    kind = [_CONTROL] * 2 + [_NORMAL] * (len(added) - 2)
    more_kinds = struct.pack(f"<{len(kind)}i", *kind)
    source = bytes(model.values["tokenizer.chat_template"])[12:].decode()
    answered = "messages | selectattr('role', 'equalto', 'tool') | list"
    begun = f"'{_PROMPT}' + ('{_TELL}' if {answered} else '{_ACT}')"
    assert f"'{_PROMPT}' -}}}}{{%- endif -%}}" in source
    head, _, end = source.rpartition(f"'{_PROMPT}'")
    n_tokens = struct.unpack_from("<Q", tokens, 8)[0] + len(added)
    return model.with_values(
        {
            "tokenizer.ggml.tokens": _longer(tokens, b"".join(map(text, written)), n_tokens),
            "tokenizer.ggml.token_type": _longer(kinds, more_kinds, n_tokens),
            "tokenizer.chat_template": head + begun + end,
            "qwen3.vocab_size": uint32(n_tokens),
        }
    )


def _words(model: Gguf) -> list[bytes]:
    """Return the vocabulary, as it is written."""
    data, at, words = model.values["tokenizer.ggml.tokens"], 16, []
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        words.append(bytes(data[at + 8 : at + 8 + size]))
        at += 8 + size
    return words


def _longer(array: Raw, more: bytes, length: int) -> Raw:
    """Return an encoded array with more items; type and length are in its first 16 bytes."""
    return Raw(array[:8] + struct.pack("<Q", length) + array[16:] + more)


def _as_bytes_are_written(word: str) -> str:
    """Return ASCII as GPT-2's vocabularies write bytes."""
    return "".join(chr(ord(char) + 256) if ord(char) <= 32 else char for char in word)
