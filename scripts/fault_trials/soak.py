"""Owns the soak: all that a server does, at once and for long, and a look at what is left of it.

Clients ask questions whose answers are known, streamed and whole; some go away in the middle.
Meanwhile models are switched, the cache is cleared and the engine is killed. Every so often all
pause, and the server has to be as it was.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from scripts.benchmark.console import say
from scripts.fault_trials.ledger import Ledger
from scripts.fault_trials.questions import Question, questions, said
from scripts.fault_trials.streams import StreamFailed, message, pieces, story
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import BUNDLED, CHAT, GOOD, MODELS, Target

OTHER = "other.gguf"
_CLIENTS = 6
_ROUND_S = 30.0
_CACHE_MB = 64
# Killed while another model takes its place, an engine takes its requests with it.
_SWITCHING = threading.Lock()
_SETTINGS = {"n_ctx": 2048, "disk_cache_mb": _CACHE_MB, "max_tokens": 256}


def soak(minutes: float, seed: int) -> list[Tally]:
    """Run everything at once for so many minutes."""
    asked = Tally("questions of six clients at once")
    upset = Tally("what went on meanwhile")
    rest = Tally("looks at the server at rest")
    with TemporaryDirectory() as folder:
        shutil.copy(MODELS / BUNDLED, Path(folder) / OTHER)
        with Target(Path(folder), _SETTINGS) as target:
            known = questions(target.http)
            say(f"{len(known)} questions whose answers are beyond doubt")
            ledger = Ledger(target, _CACHE_MB)
            end_s = time.monotonic() + 60.0 * minutes
            number = 0
            while time.monotonic() < end_s and target.is_alive:
                _round(target, known, asked, upset, f"{seed}/{number}")
                number += 1
                ledger.look(rest)
                say(f"round {number}: {ledger.line()}")
            ledger.close(rest)
            target.check(rest, f"{minutes:g} minutes")
    return [asked, upset, rest]


def _round(target: Target, known: list[Question], asked: Tally, upset: Tally, seed: str) -> None:
    is_over = threading.Event()
    timer = threading.Timer(_ROUND_S, is_over.set)
    timer.start()
    with ThreadPoolExecutor(_CLIENTS + 1) as pool:
        work = [
            pool.submit(_client, target.url, known, asked, random.Random(f"{seed}/{n}"), is_over)
            for n in range(_CLIENTS)
        ]
        work.append(pool.submit(_upset, target, upset, random.Random(f"{seed}/upset"), is_over))
    for each in work:
        each.result()


# ------------------------------------------------------------ clients


def _client(
    url: str,
    known: list[Question],
    tally: Tally,
    dice: random.Random,
    is_over: threading.Event,
) -> None:
    with httpx.Client(base_url=url, timeout=60.0) as client:
        while not is_over.is_set():
            question = dice.choice(known)
            named = dice.choices((None, GOOD, OTHER), (98, 1, 1))[0]
            ask = dice.choices((_whole, _streamed, _gone), (4, 4, 1))[0]
            try:
                with _SWITCHING if named else nullcontext():
                    body = question.body | ({"model": named} if named else {})
                    tally.note(ask(client, Question(body, question.answer), tally, dice))
            except (httpx.HTTPError, StreamFailed) as error:
                tally.note("a broken answer")
                tally.lose(f"{question.body['messages'][-1]['content']!r}: {error!r}")


def _whole(client: httpx.Client, question: Question, tally: Tally, _dice: random.Random) -> str:
    response = client.post(CHAT, json=question.body)
    if response.status_code != 200:
        return _refused(response.status_code, response.text, tally)
    return _judged(question, said(response.json()["choices"][0]["message"]), tally)


def _streamed(client: httpx.Client, question: Question, tally: Tally, _dice: random.Random) -> str:
    answer = message(client, question.body | {"stream": True})
    return _judged(question, said(answer), tally)


def _gone(client: httpx.Client, question: Question, tally: Tally, dice: random.Random) -> str:
    """Go away in the middle of an answer."""
    del question, tally
    with closing(pieces(client, story(dice.randrange(1000), 200))) as stream:
        for _ in range(dice.randrange(6)):
            next(stream, "")
    return "left"


def _judged(question: Question, answer: str, tally: Tally) -> str:
    if answer == question.answer:
        return "the right answer"
    tally.lose(f"{question.body['messages'][-1]['content']!r} got {answer}, not {question.answer}")
    return "a wrong answer"


def _refused(status: int, text: str, tally: Tally) -> str:
    if status != 429:
        tally.lose(f"{status}: {text}")
    return str(status)


# ------------------------------------------------------------ what upsets the server


def _upset(target: Target, tally: Tally, dice: random.Random, is_over: threading.Event) -> None:
    deeds: tuple[Callable[[Target], None], ...] = (_switch, _clear, _kill)
    while not is_over.wait(dice.uniform(2.0, 10.0)):
        deed = dice.choices(deeds, (4, 4, 1))[0]
        try:
            deed(target)
            tally.note(deed.__doc__ or deed.__name__)
        except httpx.HTTPError as error:
            tally.lose(f"{deed.__doc__}: {error!r}")


def _switch(target: Target) -> None:
    """model switched"""
    health = target.http.get("/health").json()
    name = GOOD if health["current_model"] == OTHER else OTHER
    target.load(name, timeout_s=60.0).raise_for_status()


def _clear(target: Target) -> None:
    """cache cleared"""
    response = target.http.delete("/cache", timeout=60.0)
    if response.status_code not in (200, 503):
        response.raise_for_status()


def _kill(target: Target) -> None:
    """engine killed"""
    with _SWITCHING:
        if pid := target.engine.get("pid"):
            os.kill(int(pid), signal.SIGKILL)
