"""Owns the corpus: renders rule-made conversations to text, from a fixed seed."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from . import chat, toolchat
from .template import render


def one(seed: int) -> str:
    """The text of one conversation; the seed alone decides it."""
    rng = random.Random(seed)
    roll = rng.random()
    if roll < 0.22:
        return render(chat.conversation(rng))
    if roll < 0.24:
        return render(chat.story_conversation(rng))
    messages, tools = toolchat.conversation(rng)
    return render(messages, tools)


def corpus(seed: int, count: int) -> Iterator[str]:
    """Many conversations, made on all cores, in a fixed order."""
    with Pool() as pool:
        yield from pool.imap(one, range(seed * 100_000_000, seed * 100_000_000 + count), chunksize=500)


def main() -> None:
    """Write the corpus as one JSON string a line."""
    ap = argparse.ArgumentParser(description="make the training conversations")
    ap.add_argument("out", type=Path)
    ap.add_argument("--count", type=int, default=90_000)
    ap.add_argument("--seed", type=int, default=7)
    args = ap.parse_args()
    with args.out.open("w", encoding="utf-8") as f:
        for text in corpus(args.seed, args.count):
            f.write(json.dumps(text, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
