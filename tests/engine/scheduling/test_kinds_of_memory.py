"""Prompts find what is known of them, whatever of its memory a kind of model can cut."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from app.engine.kv.disk_tier import Disk
from app.promptcache import DiskStore, DiskWriter
from app.protocol import Cancel, Command, Generate, Prefill
from tests.engine.fake_disk import FakeStore, FakeWriter, fake_disk
from tests.engine.fake_engine import Engine, generate, prefill
from tests.engine.fake_llama import KINDS, solo


def cached_of(
    kind: str, store: FakeStore | None, *commands: Generate | Prefill, **sizes: Any
) -> list[int]:
    """Return what each request found, one after the other, with quiet moments in between."""
    disk = None
    if store is not None:
        disk = Disk(cast(DiskStore, store), cast(DiskWriter, FakeWriter(store, None)))
    script: list[list[Generate | Prefill]] = []
    for command in commands:
        script += [[command], *([] for _ in range(30))]
    engine = Engine(script, disk=disk, **KINDS[kind], **sizes).run()
    for command in commands:
        if isinstance(command, Generate):
            engine.assert_answered(command)
    return [engine.finished(each.request_id)[0].usage.cached_tokens for each in commands]


def store_of() -> FakeStore:
    return FakeStore(dice=None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize(("idle_bytes", "has_disk"), [(20_000, False), (20_000, True), (0, True)])
def test_conversations_in_turn_and_edited_ones_find_at_least_their_head(
    kind: str, parallel: int, idle_bytes: int, has_disk: bool
) -> None:
    head = [1, 2, 3] * 10  # half of each prompt is its head
    first, other = [*head, *[4] * 30], [*head, *[5] * 30]
    goes_on = [*first, *solo(first, 1, 4), 6, 6, 6]
    edited = [*first[:50], *[7] * 20]
    commands = [
        generate(name, prompt, 4)
        for name, prompt in [
            ("first", first),
            ("other", other),
            ("goes on", goes_on),
            ("edited", edited),
            ("edited back", goes_on),
            ("another", [*head, *[8] * 30]),
            ("first again", first),
        ]
    ]
    store = store_of() if has_disk else None
    cold, *found = cached_of(kind, store, *commands, parallel=parallel, idle_bytes=idle_bytes)
    assert cold == 0
    assert min(found) >= len(head), found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("idle_bytes", [0, 20_000])
def test_eight_conversations_on_the_disk_do_not_hide_their_head(kind: str, idle_bytes: int) -> None:
    head, store = [1, 2, 3] * 10, store_of()
    before = [generate(str(number), [*head, number, *[9] * 29]) for number in range(2, 10)]
    _, *found = cached_of(kind, store, *before, idle_bytes=idle_bytes)
    assert min(found) >= len(head)
    new = [generate("new", [*head, 11, 4]), generate("long", [*head, 5, *[9] * 29, 1, 1])]
    for command in new:
        (n_cached,) = cached_of(kind, store, command, idle_bytes=idle_bytes)
        assert n_cached >= len(head)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("idle_bytes", [0, 20_000])
def test_all_chats_after_a_prefill_find_it(kind: str, idle_bytes: int) -> None:
    head = [1, 2, 3] * 10
    chats = [generate(str(number), [*head, number, *[4] * 9]) for number in range(2, 5)]
    _, *found = cached_of(kind, store_of(), prefill("p", head), *chats, idle_bytes=idle_bytes)
    assert min(found) >= len(head), found


def any_talks(dice: random.Random, n_ctx: int) -> list[list[Command]]:
    """Return what clients ask for whose conversations share heads, go on, part and are dropped."""
    heads = [[number] * dice.randrange(20, n_ctx // 3) for number in (1, 2)]
    asked = [list(head) for head in heads]
    script: list[list[Command]] = []
    for number in range(dice.randrange(6, 14)):
        stem = dice.choice(asked)
        stem = stem[: dice.choice([len(stem), len(stem), dice.randint(1, len(stem))])]
        prompt = [*stem, *([dice.randrange(1, 5)] * dice.randrange(1, n_ctx // 4))][: n_ctx - 12]
        command: Generate | Prefill = prefill(str(number), prompt)
        if dice.random() < 0.9:
            command = generate(str(number), prompt, dice.randrange(1, 10), seed=dice.randrange(9))
            asked.append([*prompt, *solo(prompt, command.sampling.seed or 0, 4)])
        script.append([command])
        if dice.random() < 0.15:
            script.append([Cancel(request_id=str(number))])
        script += [[] for _ in range(dice.choice([0, 0, 1, 5, 30]))]
    return script


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_disk", [True, False])
def test_answers_to_any_talks_are_those_of_cold_runs(kind: str, has_disk: bool) -> None:
    n_found = 0
    for seed in range(25):
        dice = random.Random(f"{kind}/{has_disk}/{seed}")
        n_ctx = dice.choice([130, 200, 400])
        script = any_talks(dice, n_ctx)
        engine = Engine(
            script,
            n_ctx=n_ctx,
            n_batch=dice.choice([16, 64]),
            parallel=dice.randint(1, 4),
            idle_bytes=dice.choice([0, 500, 1000, 2000, 20_000]),
            disk=fake_disk(dice=dice)[0] if has_disk else None,
            dice=dice,
            **KINDS[kind],
        ).run()
        commands = [command for commands in script for command in commands]
        cancelled = {each.request_id for each in commands if isinstance(each, Cancel)}
        for command in commands:
            if isinstance(command, Generate) and command.request_id not in cancelled:
                engine.assert_answered(command)
                n_found += engine.finished(command.request_id)[0].usage.cached_tokens > 0
    assert n_found > 50, "it is the cache that is compared"
