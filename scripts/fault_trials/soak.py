"""Owns the soak: all that a server does, at once and for long, and a look at what is left of it.

Clients ask questions whose answers are known, streamed and whole; some go away in the middle.
Meanwhile models are switched, a dense one, a hybrid and one with a sliding window, the cache is
cleared and the engine is killed. Every so often all pause, and the server has to be as it was.
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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from scripts.benchmark.console import say
from scripts.cache_trials.shapes import SHAPES
from scripts.fault_trials.ledger import Ledger
from scripts.fault_trials.questions import Question, Talks, questions, said, talks
from scripts.fault_trials.streams import StreamFailed, message, pieces, story
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import CHAT, GOOD, Target

# The bundled model is dense.
OTHERS = {"hybrid.gguf": "qwen35", "sliding.gguf": "gemma3"}
_CLIENTS = 6
_ROUND_S = 30.0
_CACHE_MB = 64
_IDLE_CACHE_MB = 8
_TALK_SHARE = 0.6
_GONE_SHARE = 0.1
_OPENING = "<think>\n"
# Killed while another model takes its place, an engine takes its requests with it.
_SWITCHING = threading.Lock()
_SETTINGS = {
    "n_ctx": 2048,
    "disk_cache_mb": _CACHE_MB,
    "idle_cache_mb": _IDLE_CACHE_MB,
    "disk_daily_write_mb": 0,
    "disk_save_after_s": 1,
    "max_tokens": 256,
}


@dataclass(frozen=True)
class _Known:
    """What is known of answers.

    Attributes:
        questions: for the bundled model.
        talks: for all models.
    """

    questions: list[Question]
    talks: Talks


def soak(minutes: float, seed: int) -> list[Tally]:
    """Run everything at once for so many minutes."""
    asked = Tally("questions of six clients at once")
    upset = Tally("what went on meanwhile")
    rest = Tally("looks at the server at rest")
    with TemporaryDirectory() as folder:
        for name, shape in OTHERS.items():
            shutil.copy(SHAPES[shape].model(), Path(folder) / name)
        with Target(Path(folder), _SETTINGS) as target:
            known = _learned(target, seed)
            ledger = Ledger(target, _CACHE_MB)
            end_s = time.monotonic() + 60.0 * minutes
            number = 0
            while time.monotonic() < end_s and target.is_alive:
                _round(target, known, asked, upset, f"{seed}/{number}")
                number += 1
                ledger.look(rest)
                say(f"round {number}: {ledger.line()}")
            ledger.close(rest)
            target.load(GOOD, timeout_s=60.0)
            target.check(rest, f"{minutes:g} minutes")
    return [asked, upset, rest]


def _learned(target: Target, seed: int) -> _Known:
    """Ask each model in turn for its answers, with nobody else there."""
    known = _Known(questions(target.http), talks(seed))
    for name in (*OTHERS, GOOD):
        target.load(name, timeout_s=60.0).raise_for_status()
        known.talks.learn(target.http, name)
        n_known = sum(map(bool, known.talks.begins[name]))
        say(f"{name}: {n_known} of {len(known.talks.bodies)} answers begin beyond doubt")
    say(f"{len(known.questions)} questions whose answers are beyond doubt")
    return known


def _round(target: Target, known: _Known, asked: Tally, upset: Tally, seed: str) -> None:
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
    known: _Known,
    tally: Tally,
    dice: random.Random,
    is_over: threading.Event,
) -> None:
    with httpx.Client(base_url=url, timeout=60.0) as client:
        while not is_over.is_set():
            named = dice.choices((None, GOOD, *OTHERS), (98, 1, *([1] * len(OTHERS))))[0]
            gone = dice.random() < _GONE_SHARE
            with _SWITCHING if named else nullcontext():
                body, right = _chosen(known, dice)
                body = body | ({"model": named} if named else {})
                try:
                    if gone:
                        tally.note(_gone(client, dice))
                    else:
                        tally.note(_judged(_answer(client, body, dice), body, right, tally))
                except (httpx.HTTPError, StreamFailed) as error:
                    tally.note("a broken answer")
                    tally.lose(f"{body['messages'][-1]['content']!r}: {error!r}")


def _chosen(known: _Known, dice: random.Random) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a request and, by model, how its answer begins where that is known."""
    if dice.random() < _TALK_SHARE:
        number = dice.randrange(len(known.talks.bodies))
        begins = {model: texts[number] for model, texts in known.talks.begins.items()}
        return known.talks.bodies[number], begins
    question = dice.choice(known.questions)
    return question.body, {GOOD: question.answer}


def _answer(client: httpx.Client, body: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Return an answer with its model and status, streamed or whole."""
    if dice.random() < 0.5:
        return message(client, body | {"stream": True}) | {"status": 200}
    response = client.post(CHAT, json=body)
    if response.status_code != 200:
        return {"status": response.status_code, "text": response.text}
    whole = response.json()
    answer: dict[str, Any] = whole["choices"][0]["message"]
    return answer | {"model": whole["model"], "status": 200}


def _gone(client: httpx.Client, dice: random.Random) -> str:
    """Go away in the middle of an answer."""
    with closing(pieces(client, story(dice.randrange(1000), 200))) as stream:
        for _ in range(dice.randrange(6)):
            next(stream, "")
    return "left"


def _judged(
    answer: dict[str, Any], body: dict[str, Any], right: dict[str, str], tally: Tally
) -> str:
    if answer["status"] != 200:
        return _refused(answer["status"], answer["text"], tally)
    expected = right.get(answer["model"])
    if not expected:
        return "an answer in doubt"
    # Of talks only the beginning is known, of questions all there is to say.
    is_talk = set(right) > {GOOD}
    # The tag that a prompt ends with is shown, but was not generated.
    found = str(answer["content"]).removeprefix(_OPENING) if is_talk else said(answer)
    if found.startswith(expected) if is_talk else found == expected:
        return f"the right answer of {answer['model']}"
    tally.lose(
        f"{body['messages'][-1]['content']!r} got {found} of {answer['model']}, not {expected}"
    )
    return "a wrong answer"


def _refused(status: int, text: str, tally: Tally) -> str:
    if status != 429:
        tally.lose(f"{status}: {text}")
    return str(status)


# ------------------------------------------------------------ what upsets the server


def _upset(target: Target, tally: Tally, dice: random.Random, is_over: threading.Event) -> None:
    deeds: tuple[Callable[[Target, random.Random], None], ...] = (_switch, _clear, _kill)
    while not is_over.wait(dice.uniform(2.0, 10.0)):
        deed = dice.choices(deeds, (4, 4, 1))[0]
        try:
            deed(target, dice)
            tally.note(deed.__doc__ or deed.__name__)
        except httpx.HTTPError as error:
            tally.lose(f"{deed.__doc__}: {error!r}")


def _switch(target: Target, dice: random.Random) -> None:
    """model switched"""
    health = target.http.get("/health").json()
    others = [name for name in (GOOD, *OTHERS) if name != health["current_model"]]
    name = dice.choice(others)
    target.load(name, timeout_s=60.0).raise_for_status()


def _clear(target: Target, _dice: random.Random) -> None:
    """cache cleared"""
    response = target.http.delete("/cache", timeout=60.0)
    if response.status_code not in (200, 503):
        response.raise_for_status()


def _kill(target: Target, _dice: random.Random) -> None:
    """engine killed"""
    with _SWITCHING:
        if pid := target.engine.get("pid"):
            os.kill(int(pid), signal.SIGKILL)
