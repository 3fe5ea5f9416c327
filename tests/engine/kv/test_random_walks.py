"""Any order of requests, saves and evictions: nothing is kept under the name of other tokens.

The fakes of llama.cpp and of the disk compare all that is taken and loaded with its tokens. Covers
`app.engine.kv.kv_cache`, `app.engine.kv.keeper` and `app.engine.kv.memory_store` together.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import Slot
from app.engine.llama import DECODE_OK, BatchPart
from tests.engine.fake_llama import KINDS
from tests.engine.kv.test_kv_cache import Bench

N_DEEDS = 30
MOST_TOKENS = 120


class Walk:
    """A bench on which things happen as the dice fall."""

    def __init__(self, kind: str, seed: int) -> None:
        self.dice = dice = random.Random(f"{kind}/{seed}")
        self.bench = Bench(
            n_sequences=dice.choice([1, 2, 3, 3, 4]),
            n_cells=dice.choice([130, 160, 200, 300, 2000]),
            memory_bytes=dice.choice([0, 300, 500, 700, 1000, 1500, 2000, 4000, 9000]),
            **KINDS[kind],
        )
        self.kv_cache = self.bench.kv_cache
        self.policy = SavePolicy(self.kv_cache, save_after_s=0.0, min_boundary_tokens=4)
        self.prompts = [self._words(20, 90)]
        self.busy: list[Slot] = []

    def _words(self, least: int, most: int) -> list[int]:
        return [self.dice.randrange(1, 5)] * self.dice.randrange(least, most)

    def run(self) -> None:
        deeds: list[Callable[[], object]] = [
            self.start,
            self.end,
            self.rest,
            self.policy.submit_due,
            self.policy.trim,
        ]
        deeds += [self.kv_cache.forget, self.policy.next_work_s, self.kv_cache.unsaved]
        for _ in range(N_DEEDS):
            (deed,) = self.dice.choices(deeds, [50, 40, 4, 4, 1, 1, 1, 1])
            deed()
            self.check()
        while self.busy:
            self.end()
        self.policy.save_all()
        self.check()

    def start(self) -> None:
        """Start a request that goes on from an earlier one somewhere, if it fits."""
        dice, bench = self.dice, self.bench
        stem = dice.choice(self.prompts)
        stem = stem[: dice.choice([len(stem), dice.randint(1, len(stem))])]
        prompt = [*stem, *self._words(1, 60)][:MOST_TOKENS]
        n_busy = sum(len(slot.tokens) for slot in self.busy)
        lease = bench.pool.lease(prompt) if n_busy + len(prompt) + 5 < bench.cells.n_cells else None
        if lease is None:
            return
        hit, slot = self.kv_cache.restore_prefix(lease, prompt[:-1]), lease.slot
        slot.tokens = prompt[: hit.n_tokens]
        slot.n_head = dice.choice([0, min(32, len(prompt) // 2), len(prompt) // 2])
        self.check()
        for stop in sorted({slot.n_head, len(prompt) // 2, len(prompt) - 1, len(prompt)}):
            if stop > len(slot.tokens):
                self._prefill(slot, prompt[:stop])
        self.prompts.append(prompt)
        self.busy.append(slot)
        self.policy.note_boundaries(prompt, [slot.n_head])
        self.kv_cache.drop_saved()

    def _prefill(self, slot: Slot, prompt: list[int]) -> None:
        start = len(slot.tokens)
        part = BatchPart(slot.seq_id, start, prompt[start:], 1)
        while self.bench.cells.decode([part]) != DECODE_OK:
            assert self.kv_cache.make_room()
        slot.tokens = list(prompt)
        if self.dice.random() < 0.5:
            self.kv_cache.save_now(slot, to_disk=self.dice.random() < 0.3)

    def end(self) -> None:
        """End a request, of which later prompts contain all or a part."""
        if self.busy:
            slot = self.busy.pop(self.dice.randrange(len(self.busy)))
            n_tokens = len(slot.tokens)
            slot.n_kept = self.dice.choice([None, None, n_tokens // 2, max(1, n_tokens - 1)])
            self.bench.pool.release(slot)

    def rest(self) -> None:
        """Do what a quiet moment is for."""
        for _ in range(0 if self.busy else 6):
            self.policy.save_next()

    def check(self) -> None:
        for slot in self.bench.pool.slots:
            assert self.bench.cells.tokens(slot.seq_id) == slot.tokens
        store = self.kv_cache.store
        n_bytes = sum(block.n_bytes for block in store.blocks())
        n_bytes += sum(state.n_bytes for state in store.states())
        assert store.n_bytes == n_bytes <= store.capacity_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_restored_is_what_was_saved_and_memory_keeps_to_its_budget(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.kv.save_policy._DISK_CHECK_S", -1.0)
    monkeypatch.setattr("app.engine.kv.save_policy._RETRY_S", 0.0)
    for seed in range(80):
        Walk(kind, seed).run()
