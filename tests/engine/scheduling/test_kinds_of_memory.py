"""Prompts find what is known of them, whatever of its memory a kind of model can cut."""

from __future__ import annotations

from typing import Any, cast

import pytest

from app.engine.kv.disk_tier import Disk
from app.promptcache import DiskStore, DiskWriter
from app.protocol import Generate, Prefill
from tests.engine.fake_disk import FakeStore, FakeWriter
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
