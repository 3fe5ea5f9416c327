"""A known answer goes its way through a grammar, and no other answer does."""

from __future__ import annotations

import json

import pytest

from app.engine.constrain import GuidePlan
from scripts.benchmark.console import BenchFailed
from scripts.benchmark.engine_parts import EngineParts, Walk, call_command, json_command
from scripts.benchmark.structured_tasks import OBJECT_SCHEMA, PERSON, PERSON_SCHEMA, TOOLS
from tests.live.server import MODELS, NANO


@pytest.fixture(scope="module")
def parts() -> EngineParts:
    return EngineParts(MODELS / NANO)


def spelled(parts: EngineParts, walk: Walk) -> bytes:
    """Return all of an answer as its walk takes it."""
    written = b"".join(map(parts.model.shown_piece, walk.pending))
    while not walk.is_over:
        walk.take(walk.next_token())
        written += b"".join(map(parts.model.shown_piece, walk.pending))
    return written


def test_the_known_answer_fits_its_schema(parts: EngineParts) -> None:
    walk = Walk(parts.plan(json_command(PERSON_SCHEMA)), PERSON)
    assert spelled(parts, walk) == PERSON.encode()
    assert walk.n_chosen
    assert walk.n_forced


def test_the_object_is_mostly_forced(parts: EngineParts) -> None:
    values = {
        name: each.get("const") or each.get("enum", [None])[-1] or 21
        for name, each in OBJECT_SCHEMA["properties"].items()
    }
    values["responsible_person"] = "anna"
    walk = Walk(parts.plan(json_command(OBJECT_SCHEMA)), json.dumps(values))
    walk.to_end()
    assert walk.n_forced >= 60
    assert walk.n_forced > walk.n_chosen


def test_an_answer_that_does_not_fit_is_no_measurement(parts: EngineParts) -> None:
    with pytest.raises(BenchFailed, match="the grammar writes"):
        Walk(parts.plan(json_command(OBJECT_SCHEMA)), '{"reporting_device": "toaster"}')
    walk = Walk(parts.plan(json_command(PERSON_SCHEMA)), PERSON.replace("1931-08-14", "yesterday"))
    with pytest.raises(BenchFailed):
        walk.to_end()


def test_calls_of_the_tools_are_held_to_a_grammar(parts: EngineParts) -> None:
    assert isinstance(parts.plan(call_command(TOOLS)), GuidePlan)
