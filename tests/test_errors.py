"""The tree of errors is the one that its module draws, and every leaf can say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app import errors
from app.errors import (
    ContextOverflow,
    DistillerError,
    EngineUnavailable,
    InvalidRequest,
    QueueFull,
)


def below(kind: type[DistillerError]) -> Iterator[type[DistillerError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


KINDS = list(below(DistillerError))
LEAVES = [kind for kind in KINDS if not kind.__subclasses__()]


def drawn() -> dict[str, str]:
    """Return the parent of each class in the module docstring's drawing."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r"(    [│ ├└─]*)([A-Z]\w+)( .*)?", line):
            indent, name = len(found[1]), found[2]
            path = [step for step in path if step[0] < indent]
            if path:
                parents[name] = path[-1][1]
            path.append((indent, name))
    return parents


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    assert drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}


def test_the_module_defines_no_exception_outside_the_tree() -> None:
    defined = {
        value
        for value in vars(errors).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == errors.__name__
    }
    assert defined == {DistillerError, *KINDS}


def test_every_leaf_has_a_code_of_its_own_or_the_one_of_a_wrong_field() -> None:
    codes = [vars(kind).get("code") for kind in LEAVES]
    assert all(isinstance(code, str) and re.fullmatch(r"[a-z_]+", code) for code in codes)
    shared = {code for code in codes if codes.count(code) > 1}
    assert shared <= {InvalidRequest.code}


def test_a_leaf_is_either_the_callers_mistake_or_a_failed_environment() -> None:
    for leaf in LEAVES:
        branches = (errors.CallerError, errors.EnvironmentFailure)
        assert [issubclass(leaf, branch) for branch in branches].count(True) == 1


def test_an_error_carries_its_message_the_field_at_fault_and_a_code() -> None:
    error = InvalidRequest("top_k is wrong", param="top_k")
    assert (str(error), error.message) == ("top_k is wrong", "top_k is wrong")
    assert (error.param, error.code) == ("top_k", "invalid_value")


def test_a_code_may_be_more_exact_than_the_leafs() -> None:
    assert InvalidRequest("no", code="invalid_json").code == "invalid_json"
    assert InvalidRequest("no").code == "invalid_value"


def test_an_overflow_says_what_the_devices_client_looks_for() -> None:
    error = ContextOverflow(5000, 4096)
    assert error.message == "Requested tokens (5000) exceed context window of 4096"
    assert error.param == "messages"


@pytest.mark.parametrize(("given", "expected"), [({}, 1), ({"retry_after_s": 7}, 7)])
def test_an_unavailable_engine_says_when_to_ask_again(given: Any, expected: int) -> None:
    assert EngineUnavailable("it restarts", **given).retry_after_s == expected


def test_a_full_queue_says_when_to_ask_again_in_words_too() -> None:
    error = QueueFull(7)
    assert error.retry_after_s == 7
    assert "7 s" in error.message
