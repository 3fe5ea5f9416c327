"""Damage is drawn from the seed alone, changes something, and knows the files it is done to."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from app.promptcache.entry_file import read_entry, write_temporary
from app.promptcache.entry_header import BadEntry, EntryBody, EntryDraft
from app.promptcache.files import Files
from app.promptcache.token_bytes import pack
from scripts.fault_trials import entry_damage, gguf_damage, json_damage
from scripts.fault_trials.gguf_fields import layout_of
from scripts.fault_trials.raw_requests import KINDS
from scripts.fault_trials.tally import Tally
from tests.live.server import MODELS, NANO
from tests.models.gguf_files import LLAMA_VALUES, tensor, with_tensors

SEEDS = range(30)
GGUF = with_tensors(tensor("a", (4, 8)), data=128, values=LLAMA_VALUES)


def test_the_fields_of_a_model_file_cover_its_header() -> None:
    layout = layout_of(GGUF)
    assert len(GGUF) - 128 - 32 < layout.header_bytes <= len(GGUF) - 128
    at = 0
    for field in layout.fields:
        assert field.at == at
        at += field.size
    assert at == layout.header_bytes


def test_the_fields_of_the_bundled_model_end_where_its_tensors_begin() -> None:
    data = (MODELS / NANO).read_bytes()
    layout = layout_of(data)
    assert data[layout.header_bytes - 20 : layout.header_bytes].strip(b"\0")
    assert {field.kind for field in layout.fields} == {"text", "type", "count", "length", "value"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_does_the_same_damage(seed: int) -> None:
    layout = layout_of(GGUF)
    first, again = (gguf_damage.damaged(GGUF, layout, random.Random(seed)) for _ in range(2))
    assert first == again
    data = random.Random(0).randbytes(1000)
    first, again = (entry_damage.damaged(data, random.Random(seed)) for _ in range(2))
    assert first == again
    for make in KINDS.values():
        assert make(random.Random(seed)) == make(random.Random(seed))


def test_damage_to_bodies_leaves_the_body_and_the_hostile_values_alone() -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "stop": ["a"]}
    before = json.dumps([body, json_damage.VALUES, json_damage.SCHEMAS])
    made = {json_damage.damaged(body, random.Random(seed)) for seed in range(150)}
    assert json.dumps([body, json_damage.VALUES, json_damage.SCHEMAS]) == before
    assert len(made) > 75


def test_a_row_says_what_was_tried_lost_and_seen() -> None:
    tally = Tally("a fault")
    tally.note("refused")
    tally.note("refused")
    tally.note("accepted")
    tally.lose("one thing")
    assert tally.row() == "| a fault | 3 | 1 | 2 refused, 1 accepted |"
    assert tally.loss_lines() == ["a fault: one thing"]


def test_many_losses_are_not_all_told() -> None:
    tally = Tally("a fault", losses=[str(n) for n in range(1000)])
    lines = tally.loss_lines()
    assert len(lines) < 30
    assert lines[-1].endswith(f"and {1000 - len(lines) + 1} more")


@pytest.mark.parametrize("seed", SEEDS)
def test_forged_entries_have_fitting_sums(seed: int, tmp_path: Path) -> None:
    """What is wrong with them is seen behind the sums, or by nobody."""
    path = tmp_path / "forged.kv"
    draft = EntryDraft(
        tokens=pack(random.Random(seed).choices(range(1000), k=200)),
        body=EntryBody(state=random.Random(seed).randbytes(500)),
        extra=b"words of an answer " * 20,
        fingerprint="mine",
        form="",
        role="turn",
        profile="",
        created_s=1.5,
    )
    write_temporary(path, draft, Files(), lambda _: None)
    whole = path.read_bytes()
    entry_damage.forge(path, "mine", random.Random(seed))
    assert path.read_bytes() != whole
    assert reason(path) in ("", "broken tokens or extra", "broken header")


def reason(path: Path) -> str:
    try:
        read_entry(path, "mine", Files())
    except BadEntry as bad:
        return bad.reason
    return ""
