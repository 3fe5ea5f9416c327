"""Owns the trial in which a process that writes to the prompt cache is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

from app.promptcache import DiskStore, Snapshot
from scripts.fault_trials.tally import Tally

ROW_BYTES = 2048
_MODEL = "model.gguf"
_N_SAVED_FIRST = 3
_N_CONVERSATIONS = 4
_TURN_TOKENS = 90
_STATE_BYTES = 100_000
_CAPACITY_BYTES = 40_000_000
_MAX_BLOCK_BYTES = 64 * ROW_BYTES
_LONGEST_DELAY_S = 0.03


def conversation(number: int, n_turns: int) -> list[int]:
    """Return the tokens of a conversation; those of one kill share their head."""
    head = [number // _N_CONVERSATIONS * 1_000_000 + at for at in range(100)]
    return head + [number * 1000 + 500_000_000 + at for at in range(n_turns * _TURN_TOKENS)]


def rows_of(tokens: list[int], start: int, end: int) -> bytes:
    """Return the rows of some tokens, each of which says what it belongs to."""
    pairs = zip(tokens[start:end], range(start, end), strict=True)
    return b"".join(f"{token} {at} ".encode().ljust(ROW_BYTES, b".") for token, at in pairs)


def state_of(tokens: list[int]) -> bytes:
    """Return the state after some tokens, which says what it belongs to."""
    return f"{tokens[-1]} {len(tokens)} ".encode().ljust(_STATE_BYTES, b"-")


def _open(root: Path, lines: list[str]) -> DiskStore:
    return DiskStore(
        root,
        _MODEL,
        "this one",
        capacity_bytes=_CAPACITY_BYTES,
        max_block_bytes=_MAX_BLOCK_BYTES,
        notify=lambda _, text: lines.append(text),
    )


def write(root: Path, first: int) -> None:
    """Write conversations turn by turn, for ever; print each save once it is made."""
    store = _open(root, [])
    n_turns = 0
    while True:
        n_turns += 1
        for number in range(first, first + _N_CONVERSATIONS):
            tokens = conversation(number, n_turns)
            start = store.n_covered(tokens) // 32 * 32
            rows = rows_of(tokens, start, len(tokens))
            snapshot = Snapshot(len(tokens), start, rows, len(tokens), b"", state_of(tokens))
            if store.write_snapshot(tokens, snapshot, drops_older=True):
                print(number, n_turns, flush=True)


def saves(times: int, seed: int) -> list[Tally]:
    """Kill a writing process again and again; look at what it leaves as a restart would."""
    tally = Tally("process killed (SIGKILL) while it writes blocks and states of the prompt cache")
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for kill in range(times):
            dice = random.Random(f"{seed}/{kill}")
            first = kill * _N_CONVERSATIONS
            saved = kill_writer(root, first, dice)
            tally.note("a folder without a fault")
            for loss in faults(root, saved):
                tally.lose(f"kill {kill}: {loss}")
            tally.seen["saves found again"] += len(saved)
    return [tally]


def kill_writer(root: Path, first: int, dice: random.Random) -> list[tuple[int, int]]:
    """Have a process write and kill it; return what it said it had written."""
    code = "import sys; from pathlib import Path; from scripts.fault_trials.saves import write"
    command = [sys.executable, "-c", f"{code}; write(Path(sys.argv[1]), int(sys.argv[2]))"]
    with subprocess.Popen([*command, str(root), str(first)], stdout=subprocess.PIPE) as writer:
        output = cast(IO[bytes], writer.stdout)
        lines = [output.readline() for _ in range(_N_SAVED_FIRST + dice.randrange(6))]
        time.sleep(dice.uniform(0, _LONGEST_DELAY_S))
        writer.send_signal(signal.SIGKILL)
        lines += output.read().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith(b"\n")]
    return [(int(number), int(n_turns)) for number, n_turns in whole]


def faults(root: Path, saved: list[tuple[int, int]]) -> list[str]:
    """Open the folder as a restart would; return what is wrong."""
    lines: list[str] = []
    store = _open(root, lines)
    found = [f"it said {line!r}" for line in lines]
    names = [path.name for path in (root / _MODEL).iterdir()]
    found += [f"{name} is left" for name in names if not name.endswith(".kv")]
    if store.status().n_bytes > _CAPACITY_BYTES:
        found.append("more is kept than may be")
    for number, n_turns in dict(saved).items():
        tokens = conversation(number, n_turns)
        n_right = _n_right(store, tokens)
        if n_right < len(tokens):
            found.append(f"{n_right} of {len(tokens)} tokens of a save are there")
        if not _has_right_state(store, tokens):
            found.append("the state of a save is not there")
    return found


def _n_right(store: DiskStore, tokens: list[int]) -> int:
    """Return how many tokens have the rows that were written for them."""
    position = 0
    for link in store.chain(tokens):
        block = store.read_block(link.block_id)
        if block is None or link.start != position:
            break
        at = (link.start - block.start) * ROW_BYTES
        held = bytes(block.rows)[at : at + (link.end - link.start) * ROW_BYTES]
        if held != rows_of(tokens, link.start, link.end):
            break
        position = link.end
    return position


def _has_right_state(store: DiskStore, tokens: list[int]) -> bool:
    """Whether there is a state after these tokens, or a later one in its place, and it is right."""
    later = conversation_states(store, tokens)
    return bool(later) and all(later)


def conversation_states(store: DiskStore, tokens: list[int]) -> list[bool]:
    """Return of each state after these tokens, or after more, whether it is right."""
    right = []
    for n_more in range(0, 3 * _TURN_TOKENS, _TURN_TOKENS):
        longer = tokens + [tokens[-1] + 1 + at for at in range(n_more)]
        match = next(iter(store.states(longer)), None)
        if match is not None and match.n_tokens == len(longer):
            content = store.read(match)
            right.append(content is not None and content.state == state_of(longer))
    return right
