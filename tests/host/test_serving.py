"""The service's states: which transitions there are, and what a request gets in each state."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import cast

import pytest

from app.errors import (
    EngineUnavailable,
    LoadParamsRefused,
    ModelLoadFailed,
    NoModelLoaded,
    ServiceStopping,
)
from app.host.serving import Serving, Status


@dataclass
class Engine:
    is_alive: bool = True


@dataclass
class Served:
    engine: Engine
    name: str = "m.gguf"


def serving(*, is_alive: bool = True) -> Serving:
    return cast(Serving, Served(Engine(is_alive)))


def test_a_load_ends_in_a_model_that_serves() -> None:
    status = Status()
    status.begin_load("m.gguf", "Model m.gguf is being loaded")
    assert (status.name, status.pending, status.serving) == ("loading", "m.gguf", None)
    status.serve(model := serving())
    assert (status.name, status.pending, status.serving) == ("ok", None, model)


def test_a_load_that_fails_is_an_error_with_its_reason() -> None:
    status = Status()
    status.begin_load("m.gguf", "")
    status.fail("no such file")
    assert (status.name, status.message, status.pending) == ("error", "no such file", None)
    assert status.last_failure == "no such file"


def test_a_restart_keeps_its_reason_until_another_failure() -> None:
    status = Status()
    status.serve(serving())
    status.begin_restart("m.gguf", "signal SIGSEGV")
    assert (status.name, status.serving, status.pending) == ("restarting", None, "m.gguf")
    status.record_restart()
    assert (status.restarts, status.last_failure) == (1, "signal SIGSEGV")
    status.record_restart_failure("out of memory")
    assert (status.name, status.last_failure) == ("restarting", "out of memory")


def test_progress_is_reported_only_while_a_model_is_loaded_or_restarted() -> None:
    status = Status()
    before = status.message
    status.report_progress("Profile 'a' is being restored")
    assert status.message == before
    status.begin_load("m.gguf", "")
    status.report_progress("Profile 'a' is being restored")
    assert status.message == "Profile 'a' is being restored"


def test_an_engine_that_has_exited_does_not_serve() -> None:
    status = Status()
    with pytest.raises(ModelLoadFailed):
        status.serve(serving(is_alive=False))
    assert status.serving is None


def test_stopping_is_final() -> None:
    status = Status()
    status.serve(serving())
    status.stop()
    status.begin_load("m.gguf", "")
    status.fail("reason")
    status.begin_restart("m.gguf", None)
    with pytest.raises(ServiceStopping):
        status.serve(serving())
    assert (status.name, status.serving) == ("stopping", None)


def test_each_state_without_a_model_has_its_error() -> None:
    status = Status()
    assert isinstance(status.refusal(), NoModelLoaded)
    status.begin_load("m.gguf", "")
    assert isinstance(status.refusal(), EngineUnavailable)
    status.begin_restart("m.gguf", None)
    assert isinstance(status.refusal(), EngineUnavailable)
    status.fail("reason")
    assert isinstance(status.refusal(), NoModelLoaded)
    status.stop()
    assert isinstance(status.refusal(), ServiceStopping)


async def test_a_transition_wakes_those_who_wait_for_it() -> None:
    status = Status()
    waiting = asyncio.create_task(status.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    status.begin_load("m.gguf", "")
    await waiting


@pytest.mark.parametrize(("kills", "words"), [(1, "engine once"), (3, "engine 3 times")])
def test_oom_kills_are_a_warning(kills: int, words: str) -> None:
    status = Status()
    assert list(status.warnings()) == []
    status.oom_kills = kills
    (warning,) = status.warnings()
    assert words in warning


def test_a_model_is_loading_while_it_is_tried_and_failed_when_that_failed() -> None:
    status = Status()
    assert status.state_of("m.gguf") == "unloaded"
    with contextlib.suppress(ModelLoadFailed), status.attempt("m.gguf"):
        assert status.state_of("m.gguf") == "loading"
        raise ModelLoadFailed("it is broken")
    assert (status.state_of("m.gguf"), status.failures["m.gguf"]) == ("failed", "it is broken")
    status.serve(serving())
    assert (status.state_of("m.gguf"), status.state_of("other.gguf")) == ("loaded", "unloaded")
    status.begin_restart("m.gguf", None)
    assert status.state_of("m.gguf") == "loading"


@pytest.mark.parametrize(
    "error", [LoadParamsRefused("n_ctx"), ServiceStopping("stopping"), asyncio.CancelledError()]
)
def test_a_model_has_not_failed_where_its_file_is_not_at_fault(error: BaseException) -> None:
    status = Status()
    with contextlib.suppress(type(error)), status.attempt("m.gguf"):
        raise error
    assert status.state_of("m.gguf") == "unloaded"


def test_a_model_that_serves_stays_loaded_when_loading_it_anew_fails() -> None:
    status = Status()
    status.serve(serving())
    with contextlib.suppress(RuntimeError), status.attempt("m.gguf"):
        raise RuntimeError("no memory")
    assert status.state_of("m.gguf") == "loaded"
