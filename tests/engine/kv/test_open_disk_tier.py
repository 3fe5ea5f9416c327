"""The disk tier of a real model: opened again, it knows what was saved and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.open_disk_tier import fingerprint, open_disk
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Model
from app.engine.prompt.generated_turns import GeneratedTurn, GeneratedTurns
from app.promptcache import DiskStore, Snapshot
from app.protocol import CacheParams, Load, LoadParams
from tests.engine.kv.snapshots import snapshot_of
from tests.engine.llama.nano import NANO, load_model

TOKENS = list(range(100))
SHAPE = StateShape(token_bytes=1)
TURN = GeneratedTurn("prompt", [*TOKENS, 7], "answer", "<end>")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def opened(folder: Path, model: Model, turns: GeneratedTurns, **load: object) -> DiskCacheTier:
    cache = CacheParams(folder=str(folder), disk_cache_mb=10)
    params = LoadParams(n_ctx=256, **load)  # type: ignore[arg-type]
    command = Load(model_path=str(NANO), params=params, cache=cache)
    return open_disk(command, model, SHAPE, turns, is_busy=lambda: False)


def save(tier: DiskCacheTier) -> None:
    save = tier.save(TOKENS, snapshot_of(TOKENS), "turn")
    assert save is not None
    tier.wait(save, timeout_s=30.0)
    assert save.is_there
    tier.close(timeout_s=30.0)


@pytest.mark.parametrize(
    "cache", [CacheParams(refused="it is in use"), CacheParams(folder="/x", disk_cache_mb=0)]
)
def test_without_a_folder_or_room_there_is_no_disk(model: Model, cache: CacheParams) -> None:
    command = Load(model_path=str(NANO), params=LoadParams(n_ctx=256), cache=cache)
    tier = open_disk(command, model, SHAPE, GeneratedTurns(str), is_busy=lambda: False)
    assert not tier.is_on


def test_entries_and_the_answers_in_them_outlive_the_tier(tmp_path: Path, model: Model) -> None:
    before, after = GeneratedTurns(str), GeneratedTurns(str)
    before.remember(TURN)
    save(opened(tmp_path, model, before))
    tier = opened(tmp_path, model, after)
    (link,) = tier.chain([*TOKENS, 1], None)
    content = tier.read_block(link.block_id)
    assert content is not None
    assert bytes(content.rows) == bytes(TOKENS)
    spliced = after.splice("promptanswer<end>")
    assert spliced is not None
    assert spliced.tokens == [*TOKENS, 7]
    tier.close(timeout_s=30.0)


def test_an_answer_that_was_cut_at_a_stop_string_outlives_the_tier(
    tmp_path: Path, model: Model
) -> None:
    before, after = GeneratedTurns(str), GeneratedTurns(str)
    before.remember(GeneratedTurn("prompt", TOKENS[:90], "answer", "", (2, 4)))
    save(opened(tmp_path, model, before))
    opened(tmp_path, model, after).close(timeout_s=30.0)
    spliced = after.splice("promptansw")
    assert spliced is not None
    assert (spliced.tokens, spliced.rest) == (TOKENS[:89], "sw")


def test_entries_of_other_settings_of_the_kv_cache_are_removed_and_logged(
    tmp_path: Path, model: Model
) -> None:
    turns = GeneratedTurns(str)
    save(opened(tmp_path, model, turns))
    tier = opened(tmp_path, model, turns, type_k="q8_0")
    assert not tier.has_entries
    assert [line.level for line in tier.take_log_lines()] == ["warning"]
    tier.close(timeout_s=30.0)


def test_the_size_of_the_context_is_no_part_of_the_fingerprint(model: Model) -> None:
    small, large = LoadParams(n_ctx=256), LoadParams(n_ctx=4096)
    assert fingerprint(NANO, model, SHAPE, small) == fingerprint(NANO, model, SHAPE, large)
    quantised = LoadParams(n_ctx=256, type_v="q8_0")
    assert fingerprint(NANO, model, SHAPE, small) != fingerprint(NANO, model, SHAPE, quantised)


def test_states_that_are_kept_as_a_whole_have_another_fingerprint(model: Model) -> None:
    params, whole = LoadParams(n_ctx=256), StateShape(0, is_whole=True)
    assert fingerprint(NANO, model, SHAPE, params) != fingerprint(NANO, model, whole, params)


def test_blocks_whose_rows_have_another_size_are_removed(tmp_path: Path, model: Model) -> None:
    turns, params = GeneratedTurns(str), LoadParams(n_ctx=256)
    store = DiskStore(
        tmp_path,
        NANO.name,
        fingerprint(NANO, model, SHAPE, params),
        capacity_bytes=2**20,
        can_cut=False,
        notify=lambda *_: None,
    )
    rows = bytes(2 * len(TOKENS))  # two bytes a token, and the model has one
    wider = Snapshot(len(TOKENS), 0, rows, len(TOKENS), b"", None)
    assert store.write_snapshot(TOKENS, wider, role="turn")
    tier = opened(tmp_path, model, turns)
    assert not tier.has_entries
    tier.close(timeout_s=30.0)
