"""Power cuts: whenever a writing process is killed, what is left is whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.promptcache.stores import Bench, state_of, words

N_KILLS = 20
N_SAVES = 10
STATE_BYTES = 300_000

WRITER = """
import itertools, sys
from pathlib import Path
from app.promptcache import DiskStore
from tests.promptcache.stores import CAPACITY_BYTES, state_of, words

store = DiskStore(
    Path(sys.argv[1]), "model.gguf", "this one",
    capacity_bytes=CAPACITY_BYTES, notify=lambda *_: None,
)
for seed in itertools.count(int(sys.argv[2])):
    assert store.write(words(seed), state_of(words(seed), int(sys.argv[3])))
    print(seed, flush=True)
"""


def write_and_kill(bench: Bench, first_seed: int, delay_s: float) -> None:
    command = [sys.executable, "-c", WRITER, str(bench.root), str(first_seed), str(STATE_BYTES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(N_SAVES):
            assert writer.stdout.readline()
        time.sleep(delay_s)  # not for anything: the moment of the kill is random
        writer.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_no_bad_entry_and_no_orphan(bench: Bench) -> None:
    dice = random.Random()
    for kill in range(N_KILLS):
        write_and_kill(bench, kill * 1000, dice.uniform(0, 0.02))
        bench.clock.now_s = time.time()
        store = bench.open()
        assert bench.notices.lines == []
        assert not [name for name in bench.names() if not name.endswith(".kv")]
        assert store.status().n_bytes <= store.status().capacity_bytes
        for seed in range(kill * 1000, kill * 1000 + N_SAVES):
            found = store.find(words(seed))
            assert found is not None, "it was said to be written"
            snapshot = store.read(found)
            assert snapshot is not None
            assert snapshot.tokens == words(seed)
            assert snapshot.state == state_of(words(seed), STATE_BYTES)
    assert bench.notices.lines == []
