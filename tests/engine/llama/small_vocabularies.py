"""Owns small vocabularies of every kind that llama.cpp has a tokeniser for, as GGUF files."""

from __future__ import annotations

import string
from pathlib import Path

from scripts.benchmark.gguf_writer import GgufWriter, Value
from scripts.benchmark.vocabulary import make_vocabulary

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_CONTROLS = ("<unk>", "<s>", "</s>", "<|user|>", "<|end|>", "<|end|>x")
_USER = ("<think>", "</think>", "<b", "[X]")
_NEWLINES = tuple("\n" * n for n in range(1, 9))
_WORDS = ("the", "an", "in", "er", "on", "th", "he", "re", "of", "ing", "1", "12", "it is")
PRE_TOKENISERS = (
    "llama3",
    "llama-bpe",
    "lfm2",
    "qwen2",
    "qwen35",
    "gpt-2",
    "smollm",
    "refact",
    "starcoder",
    "default",
    "tekken",
    "deepseek-v3",
)
_MODELS = {"bpe": "gpt2", "spm": "llama", "ugm": "t5", "wpm": "bert", "rwkv": "rwkv"}
_OTHERS = ("spm", "spm-newlines", "spm-prefix", "ugm", "ugm-suffix", "wpm", "rwkv")
KINDS = (*_OTHERS, *(f"bpe-{name}" for name in PRE_TOKENISERS))
# Merges across newlines: they come about only where a pre-tokeniser lets them.
_MERGES = ("Ċ Ċ", "Ċ t", "Ċ T", ". Ċ", "e Ċ", ".Ċ I", "Ġ Ċ", "Ġ Ġ", "Ċ O", "t h", "T h", "č Ċ")


def write(kind: str, path: Path) -> Path:
    """Write the vocabulary of a kind, one of `KINDS`, and return its path."""
    model = {"bpe": "gpt2", "spm": "llama", "ugm": "t5", "wpm": "bert", "rwkv": "rwkv"}[
        kind.split("-")[0]
    ]
    user = (*_USER, *(_NEWLINES if kind == "spm-newlines" else ()))
    plain = [text for text in dict.fromkeys(_plain(model)) if text not in user]
    tokens = [*_CONTROLS, *user, *plain]
    types = [_UNKNOWN, *[_CONTROL] * (len(_CONTROLS) - 1), *[_USER_DEFINED] * len(user)]
    types += [_BYTE if len(text) == 6 and text[:3] == "<0x" else _NORMAL for text in plain]
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": kind,
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.pre": kind.partition("-")[2],
        "tokenizer.ggml.merges": _MERGES,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 2,
        "tokenizer.ggml.add_bos_token": kind in ("spm-prefix", "ugm-suffix"),
        "tokenizer.ggml.add_eos_token": kind == "ugm",
        "tokenizer.ggml.add_space_prefix": kind in ("spm-prefix", "ugm", "ugm-suffix"),
        "tokenizer.ggml.remove_extra_whitespaces": kind == "ugm",
        "tokenizer.ggml.treat_whitespace_as_suffix": kind == "ugm-suffix",
    }
    with path.open("wb") as file:
        GgufWriter(file, metadata, [])
    return path


def _plain(model: str) -> list[str]:
    letters = [*string.ascii_letters, *string.digits, *"<|>/[].,!?é"]
    if model == "gpt2":
        merged = [merge.replace(" ", "") for merge in _MERGES]
        return [*make_vocabulary(259).tokens[:256], *merged]
    if model == "bert":
        return ["[UNK]", *letters, *("▁" + text for text in (*letters, *_WORDS[:-1]))]
    if model == "rwkv":
        return [*letters, *_WORDS, " ", "\\n", "\\n\\n", "\\t", "\\xc3", "\\xa9", " the"]
    pieces = [*letters, *_WORDS[:-1], "▁", "▁▁", "▁the", "▁an", "it▁is", ".\n"]
    return pieces if model == "t5" else [*(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
