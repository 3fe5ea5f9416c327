"""Owns the trials in which an engine dies or hangs while somebody reads an answer."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from scripts.fault_trials.knocker import Knocker
from scripts.fault_trials.streams import StreamFailed, pieces, story
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import Target

_N_TOKENS = 200
_MOST_BESIDE_LOAD_S = 1.0
_HANG_TIMEOUT_S = 1.0


def kill_engine(times: int, seed: int) -> list[Tally]:
    """Kill the engine in the middle of streams; each has to end as if nothing had been."""
    tally = Tally("engine killed (SIGKILL, SIGSEGV, SIGABRT) at a random moment of a stream")
    with TemporaryDirectory() as folder, Target(Path(folder)) as target:
        with Knocker(target.url) as knocker:
            signals = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
            gaps_s = _interrupt_streams(target, tally, times, seed, signals)
        target.check(tally, f"{times} kills")
        load_s = float(target.engine["load_ms"]) / 1000.0
    longest_s = max(gaps_s, default=0.0)
    tally.seen[
        f"kill to next token {statistics.median(gaps_s or [0.0]):.2f} s (longest {longest_s:.2f}), "
        f"of which {load_s:.2f} load"
    ] = 1
    if longest_s > load_s + _MOST_BESIDE_LOAD_S:
        tally.lose(f"{longest_s:.2f} s from a kill to the next token")
    return [tally, knocker.tally("new connections while engines were killed")]


def hang_engine(times: int, seed: int) -> list[Tally]:
    """Stop the engine in the middle of streams, as if a decode did not end."""
    tally = Tally(f"engine stopped (SIGSTOP) in mid-stream, engine_timeout_s {_HANG_TIMEOUT_S:g}")
    settings = {"engine_timeout_s": _HANG_TIMEOUT_S}
    with TemporaryDirectory() as folder, Target(Path(folder), settings) as target:
        with Knocker(target.url) as knocker:
            _interrupt_streams(target, tally, times, seed, (signal.SIGSTOP,))
        target.check(tally, f"{times} hangs")
    return [tally, knocker.tally("new connections while engines hung")]


def _interrupt_streams(
    target: Target, tally: Tally, times: int, seed: int, signals: Sequence[signal.Signals]
) -> list[float]:
    """Read answers undisturbed, then again while a signal comes; return the longest gap of each."""
    gaps_s = []
    for number in range(times):
        dice = random.Random(f"{seed}/{number}")
        expected = "".join(pieces(target.http, story(number, _N_TOKENS)))
        try:
            text, gap_s = _interrupted(target, number, dice, len(expected), dice.choice(signals))
        except (httpx.HTTPError, StreamFailed) as error:
            tally.note("a broken answer")
            tally.lose(f"answer {number}: {error!r}")
            continue
        gaps_s.append(gap_s)
        is_same = text == expected
        tally.note("the same answer, word for word" if is_same else "another answer")
        if not is_same:
            tally.lose(f"answer {number} is {text!r}, not {expected!r}")
    return gaps_s


def _interrupted(
    target: Target, number: int, dice: random.Random, n_chars: int, with_signal: signal.Signals
) -> tuple[str, float]:
    """Return an answer during which the engine gets a signal, and its longest gap after that."""
    after, text, gap_s, heard_s = dice.randrange(n_chars), "", 0.0, 0.0
    engine_pid = int(target.engine["pid"])
    for piece in pieces(target.http, story(number, _N_TOKENS)):
        text += piece
        if heard_s:
            gap_s = max(gap_s, time.monotonic() - heard_s)
            heard_s = time.monotonic()
        elif len(text) >= after:
            time.sleep(dice.random() * 0.01)
            os.kill(engine_pid, with_signal)
            heard_s = time.monotonic()
    return text, gap_s
