"""Owns the tokenizer: a byte-level BPE in which a word keeps its pieces with or without a space."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import words as w

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = ["<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
# pieces of the JSON around every tool, one token each: prompts get half as long; no piece may
# begin where another can end, else llama.cpp and the tokenizers library cut differently
JSON_PIECES = [
    '{"type": "function", "function": {"name": "', '", "description": "',
    '", "parameters": {"type": "object", "properties": {"', '", "parameters": {"type": "object", "properties": {}',
    '": {"type": "string', '": {"type": "integer', '": {"type": "number', '": {"type": "boolean', '", "enum": ["',
    '"}}, "required": ["', '"}}, "required": []', ', "required": []', '"]}}, "required": ["', '"]}}}', '"}, "', '"]}, "',
    '", "', '{"name": "', '", "arguments": {"', '", "arguments": {}}', '": "', '"}}\n', '": true', '": false',
    '{"status": "', '{"ok": true', '{"success": true', '{"result": "', '"}}}}',
]
USER_DEFINED += JSON_PIECES
SPECIALS = CONTROL + USER_DEFINED
GLUED = 230  # so many frequent words get a token of their own with the space before them
VALUES = {v.lower() for v in [*w.COLORS, *w.FIRST, *w.LAST, *w.CITIES, *w.FOODS, *w.DAYS, *w.MONTHS, *w.LANGS,
                              *w.DEVICES, *w.ADJ, "on", "off", "low", "high"]}


def _bytes_to_unicode() -> dict[int, str]:
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in shown}
    extra = 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + extra)
            extra += 1
    return table


def _base_merges(texts: list[str], size: int) -> list[tuple[str, str]]:
    """Learn merges on words cut off from what stands before them."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|\s+|[^\s\p{L}\p{N}]+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(_bytes_to_unicode().values()), show_progress=False
    )
    tok.train_from_iterator(texts, trainer)
    return [tuple(m) for m in json.loads(tok.to_str())["model"]["merges"]]


def _glue(texts: list[str], merges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    made = {a + b for a, b in merges} | set("aI")
    seen = Counter(word for t in texts for word in re.findall(r" ([A-Za-z]+)", t))
    usual = [x for x, _ in seen.most_common(2000) if x in made and x.lower() not in VALUES]
    return [("Ġ", x) for x in usual[:GLUED]]


def build(texts: list[str], vocab_size: int) -> Tokenizer:
    """Train the tokenizer on samples of the corpus."""
    plain = []
    for t in texts:
        for s in sorted(SPECIALS, key=len, reverse=True):
            t = t.replace(s, "\n")
        plain.append(t)
    punct = [("Ġ", x) for x in ('"', "{", "[", '{"', "-")]
    merges = _base_merges(plain, vocab_size - len(SPECIALS) - GLUED - len(punct))
    made = {a + b for a, b in merges} | set('"{[-')
    merges += [m for m in punct if m[1] in made and "".join(m) not in made]
    merges += _glue(plain, merges)
    vocab: dict[str, int] = {}
    for piece in [*sorted(_bytes_to_unicode().values()), *("".join(m) for m in merges)]:
        vocab.setdefault(piece, len(vocab))
    while len(vocab) < vocab_size - len(SPECIALS):
        vocab[f"<unused{len(vocab)}>"] = len(vocab)
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    return tok


def main() -> None:
    """Train on the head of a corpus file."""
    ap = argparse.ArgumentParser(description="train the tokenizer")
    ap.add_argument("corpus", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--vocab", type=int, default=2048)
    ap.add_argument("--sample", type=int, default=6000)
    args = ap.parse_args()
    with args.corpus.open(encoding="utf-8") as f:
        texts = [json.loads(line) for line, _ in zip(f, range(args.sample), strict=False)]
    tok = build(texts, args.vocab)
    tok.save(str(args.out))
    lengths = Counter(len(tok.encode(t).ids) // 128 * 128 for t in texts[:4000])
    print("vocabulary", tok.get_vocab_size(), "lengths:", sorted(lengths.items()))


if __name__ == "__main__":
    main()
