"""Owns the check that llama.cpp cuts texts into the very tokens the training used."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from . import words as w
from .tokenizer import SPECIALS

ODD = ["", " ", "\n", "\n\n\n", "  two  spaces ", "\ttab", "a\r\nb", "don't I'll we've", "naïve café Zürich Ñandú",
       "日本語のテキスト", "Привет, мир", "مرحبا", "🙂🚀 emoji", "1234567890", "3.14 -7,5 1e9", "x=1;y=[2,3]{}", "____",
       "A1b2C3", "http://a.b/c?d=e&f=g", '{"a": "b\\n", "c": [1, 2, null]}', "ǅ ß İ ı", "e\u0301", "\u00a0nbsp", "ЁЖ 中文 mix 12"]


def samples(corpus: Path, count: int) -> list[str]:
    """Corpus texts, odd strings and random mixtures of both with special tokens."""
    rng = random.Random(5)
    with corpus.open(encoding="utf-8") as f:
        texts = [json.loads(line) for line, _ in zip(f, range(count), strict=False)]
    mixed = []
    for _ in range(count):
        parts = [rng.choice([rng.choice(ODD), rng.choice(SPECIALS), w.made_word(rng), rng.choice(w.TEXT_LIST),
                             str(rng.random()), chr(rng.randint(32, 0x2FFF))]) for _ in range(rng.randint(1, 8))]
        mixed.append(rng.choice(["", " ", "\n"]).join(parts))
    return texts + ODD + mixed


def main() -> None:
    """Compare both tokenizers and print the differences."""
    ap = argparse.ArgumentParser(description="compare the tokenizer with llama.cpp's")
    ap.add_argument("model", type=Path)
    ap.add_argument("tokenizer", type=Path)
    ap.add_argument("corpus", type=Path)
    ap.add_argument("--count", type=int, default=2000)
    args = ap.parse_args()
    from llama_cpp import Llama

    llm: Any = Llama(str(args.model), n_ctx=64, vocab_only=True, verbose=False)
    tok = Tokenizer.from_file(str(args.tokenizer))
    texts = samples(args.corpus, args.count)
    bad = 0
    for t in texts:
        mine, theirs = tok.encode(t).ids, llm.tokenize(t.encode("utf-8"), add_bos=False, special=True)
        if mine != theirs:
            bad += 1
            if bad <= 5:
                print(repr(t[:200]), tok.encode(t).tokens[:40], [tok.id_to_token(i) for i in theirs[:40]])
    print(f"{len(texts) - bad} of {len(texts)} texts have equal tokens")
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
