"""Owns the packed training data: token rows and the mask of assistant tokens."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Rows = NDArray[np.uint16]


def loss_mask(ids: list[int], start: list[int], end: int) -> list[bool]:
    """True for the tokens that the assistant says, its end mark included."""
    mask = [False] * len(ids)
    i = 0
    while i < len(ids):
        if ids[i : i + len(start)] == start:
            i += len(start)
            while i < len(ids):
                mask[i] = True
                i += 1
                if ids[i - 1] == end:
                    break
        else:
            i += 1
    return mask


def _packed(docs: Iterator[tuple[list[int], list[bool]]], length: int, open_rows: int = 24
            ) -> tuple[Rows, NDArray[np.bool_]]:
    rows: list[tuple[list[int], list[bool]]] = []
    waiting: list[tuple[list[int], list[bool]]] = []
    for ids, mask in docs:
        if len(ids) > length:
            continue
        row = max((r for r in waiting if len(r[0]) + len(ids) <= length), key=lambda r: len(r[0]), default=None)
        if row is not None:
            row[0].extend(ids)
            row[1].extend(mask)
        else:
            waiting.append((list(ids), list(mask)))
        if len(waiting) > open_rows:
            fullest = max(range(len(waiting)), key=lambda i: len(waiting[i][0]))
            rows.append(waiting.pop(fullest))
    rows += waiting
    x = np.zeros((len(rows), length), dtype=np.uint16)
    m = np.zeros((len(rows), length), dtype=np.bool_)
    for i, (ids, mask) in enumerate(rows):
        x[i, : len(ids)] = ids
        m[i, : len(ids)] = mask
    return x, m


def pack(corpus: Path, tokenizer: Path, lengths: list[int]) -> dict[str, NDArray[np.generic]]:
    """Pack every conversation into rows of the smallest length that holds it."""
    tok = Tokenizer.from_file(str(tokenizer))
    start, end = tok.encode("<|im_start|>assistant\n").ids, tok.token_to_id("<|im_end|>")
    docs: dict[int, list[tuple[list[int], list[bool]]]] = {n: [] for n in lengths}
    with corpus.open(encoding="utf-8") as f:
        while batch := [json.loads(line) for line, _ in zip(f, range(1000), strict=False)]:
            for e in tok.encode_batch(batch):
                for n in lengths:
                    if len(e.ids) <= n:
                        docs[n].append((e.ids, loss_mask(e.ids, start, end)))
                        break
    out: dict[str, NDArray[np.generic]] = {}
    for n in lengths:
        x, m = _packed(iter(docs[n]), n)
        out[f"x{n}"], out[f"m{n}"] = x, m
        print(f"{len(docs[n])} conversations in {len(x)} rows of {n}, {m.mean():.1%} taught", flush=True)
    return out


def main() -> None:
    """Tokenise and pack a corpus."""
    ap = argparse.ArgumentParser(description="pack the corpus into token rows")
    ap.add_argument("corpus", type=Path)
    ap.add_argument("tokenizer", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--lengths", type=int, nargs="+", default=[128, 192, 256, 320, 416, 544, 768, 1536])
    args = ap.parse_args()
    packed = pack(args.corpus, args.tokenizer, args.lengths)
    np.savez(args.out, **packed)


if __name__ == "__main__":
    main()
