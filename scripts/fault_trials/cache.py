"""Owns the trial with damaged files in the prompt cache."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from app.promptcache.entry_file import read_entry
from app.promptcache.entry_header import LENGTH, MAGIC, PREAMBLE_BYTES, BadEntry, Header
from app.promptcache.files import Files
from scripts.fault_trials.entry_damage import damage_file, damaged, forge
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import CHAT, Target

_CONVERSATIONS = 48
_KEPT_WHOLE = 0.2
_FORGED = 0.25
_QUARANTINED = '"code":"request_quarantined"'
_WRITTEN_S = 30.0
_SETTINGS = {
    "n_ctx": 1024,
    "disk_cache_mb": 512,
    "disk_daily_write_mb": 0,
    "disk_save_after_s": 0,
    "idle_cache_mb": 0,
}


def cache(times: int, seed: int, n_conversations: int = _CONVERSATIONS) -> list[Tally]:
    """Damage real entries; have them read one by one, then by servers that start or run on them."""
    files = Tally("damaged files of the prompt cache, read one by one")
    served = Tally("damaged files of the prompt cache under a server")
    forged = Tally("files of the prompt cache with a damaged state and fitting checksums")
    with TemporaryDirectory() as folder:
        models, good = Path(folder) / "models", Path(folder) / "good"
        models.mkdir()
        answers = _fill(models, good, n_conversations)
        entries = sorted(good.rglob("*.kv"))
        _read(entries, times, seed, files)
        number = 0
        while served.tried < times:
            _round(models, good, answers, served, random.Random(f"{seed}/round/{number}"))
            number += 1
        while forged.tried < times * _FORGED:
            _forged_round(models, good, len(answers), forged, random.Random(f"{seed}/{number}"))
            number += 1
    return [files, served, forged]


def _conversation(number: int) -> dict[str, Any]:
    guests = range(number * 31, number * 31 + 10)
    rules = " ".join(f"Rule {guest}: be polite to guest {guest}." for guest in guests)
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "Who is there?"}]
    return {"messages": messages, "temperature": 0, "max_tokens": 8}


def _answers(target: Target, n_conversations: int) -> list[str]:
    found = []
    for number in range(n_conversations):
        response = target.http.post(CHAT, json=_conversation(number), timeout=60)
        choices = response.json().get("choices")
        found.append(choices[0]["message"]["content"] if choices else response.text)
    return found


def _fill(models: Path, folder: Path, n_conversations: int) -> list[str]:
    """Have a server fill a cache folder; return the answers of one that has no cache."""
    with Target(models, {**_SETTINGS, "disk_cache_mb": 0}) as target:
        answers = _answers(target, n_conversations)
    with Target(models, {**_SETTINGS, "cache_dir": str(folder)}) as target:
        _answers(target, n_conversations)
        deadline_s = time.monotonic() + _WRITTEN_S
        while _disk(target)["waiting"] and time.monotonic() < deadline_s:
            time.sleep(0.1)
        target.stop_ms()
    return answers


def _disk(target: Target) -> dict[str, Any]:
    tier: dict[str, Any] = target.http.get("/cache").json()["tiers"]["disk"]
    return tier


# ---------------------------------------------------------------- one by one


def _read(entries: list[Path], times: int, seed: int, tally: Tally) -> None:
    wholes = [path.read_bytes() for path in entries]
    goods = [read_entry(path, _fingerprint(path), Files()) for path in entries]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.kv"
        for number in range(times):
            rng = random.Random(f"{seed}/{number}")
            chosen = rng.randrange(len(entries))
            path.write_bytes(damaged(wholes[chosen], rng))
            try:
                content = read_entry(path, _fingerprint(entries[chosen]), Files())
            except BadEntry:
                tally.note("refused")
            except Exception as error:  # what is looked for
                tally.note("failed")
                tally.lose(f"file {number}: {error!r}")
            else:
                tally.note("accepted")
                if content != goods[chosen]:
                    tally.lose(f"file {number} is accepted with other content")


def _fingerprint(path: Path) -> str:
    data = path.read_bytes()
    (length,) = LENGTH.unpack_from(data, len(MAGIC))
    packed = data[PREAMBLE_BYTES : PREAMBLE_BYTES + length]
    return msgspec.msgpack.decode(packed, type=Header).fingerprint


# ---------------------------------------------------------------- under a server


def _round(models: Path, good: Path, answers: list[str], tally: Tally, rng: random.Random) -> None:
    """Damage all entries before a server starts or after it has; compare its answers."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "cache"
        shutil.copytree(good, folder)
        while_running = rng.random() < 0.5
        if not while_running:
            _damage_all(folder, good, tally, rng)
        with Target(models, {**_SETTINGS, "cache_dir": str(folder)}) as target:
            if while_running:
                _damage_all(folder, good, tally, rng)
            when = "while the server ran" if while_running else "before the server started"
            found = _answers(target, len(answers))
            for answer, expected in zip(found, answers, strict=True):
                if answer != expected:
                    tally.lose(f"damaged {when}: {answer!r} instead of {expected!r}")
            if restarts := target.engine["restarts"]:
                tally.lose(f"damaged {when}: {restarts} engines ended")
            target.check(tally, f"damage {when}")
            tally.seen["prompts served from whole entries"] += _disk(target)["hits"]


def _damage_all(folder: Path, good: Path, tally: Tally, rng: random.Random) -> None:
    others = sorted(good.rglob("*.kv"))
    for path in sorted(folder.rglob("*.kv")):
        if rng.random() > _KEPT_WHOLE:
            damage_file(path, others, rng)
            tally.note("entries damaged")


def _forged_round(
    models: Path, good: Path, n_conversations: int, tally: Tally, rng: random.Random
) -> None:
    """Have a server use states that nobody can tell from whole ones.

    It may say what it likes, and an engine may die of one, but not the service.
    """
    with TemporaryDirectory() as name:
        folder = Path(name) / "cache"
        shutil.copytree(good, folder)
        for path in sorted(folder.rglob("*.kv")):
            forge(path, _fingerprint(path), rng)
            tally.note("entries forged")
        with Target(models, {**_SETTINGS, "cache_dir": str(folder)}) as target:
            for answer in _answers(target, n_conversations):
                if _QUARANTINED in answer:
                    tally.seen["requests refused as two engines died of them"] += 1
                elif answer.startswith('{"error"'):
                    tally.lose(answer)
            tally.seen["of them taken"] += _disk(target)["hits"]
            target.check(tally, "forged states")
