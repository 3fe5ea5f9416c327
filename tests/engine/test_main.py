"""The engine process, as the HTTP process starts it: it loads, answers, and ends when told to.

Covers `app.engine.main` and `app.engine.assembly`, with llama.cpp and the bundled model.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from app.base.json_types import as_json
from app.engine import main as engine_main
from app.engine.ipc.channel import Channel
from app.engine.llama import BatchPart, Context, DecodeFailed, build_version
from app.protocol import (
    Command,
    Event,
    Finished,
    Generate,
    Load,
    Loaded,
    LoadFailed,
    LoadParams,
    LoadProgress,
    LogLine,
    QueueParams,
    SamplingParams,
    Shutdown,
    TextDelta,
    TokenIds,
    Tokenize,
    encode,
    event_reader,
)
from tests.engine.llama.nano import NANO

pytestmark = pytest.mark.slow  # each test starts an engine
PARAMS = LoadParams(n_ctx=512, n_threads=1)
LOAD = Load(model_path=str(NANO), params=PARAMS)
END_WAIT_S = 30


class EngineProcess:
    """An engine, and our end of its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.engine.main", str(descriptor)], pass_fds=[descriptor]
        )
        theirs.close()
        self._reader = event_reader()
        self._events: list[Event] = []

    def send(self, *commands: Command) -> None:
        self._socket.sendall(b"".join(map(encode, commands)))

    def events_until(self, kind: type[Event]) -> list[Event]:
        """Return the events up to the next one of a kind."""
        taken: list[Event] = []
        while not taken or not isinstance(taken[-1], kind):
            while not self._events:
                data = self._socket.recv(1 << 16)
                assert data, "the engine is gone"
                self._events += self._reader.feed(data)
            taken.append(self._events.pop(0))
        return taken

    def hang_up(self) -> None:
        self._socket.close()

    def exit_code(self) -> int:
        return self._process.wait(END_WAIT_S)

    def end(self) -> None:
        self.hang_up()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    yield process
    process.end()


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[EngineProcess, list[Event]]]:
    """An engine that has loaded the bundled model, and what it said meanwhile."""
    process = EngineProcess()
    process.send(LOAD)
    yield process, process.events_until(Loaded)
    process.end()


def answer(engine: EngineProcess, request_id: str, **sampling: float) -> str:
    command = Generate(
        request_id=request_id,
        messages=as_json([{"role": "user", "content": "Hello"}]),
        sampling=SamplingParams(**sampling),  # type: ignore[arg-type]
        max_tokens=12,
    )
    engine.send(command)
    events = engine.events_until(Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_a_load_reports_progress_and_what_was_loaded(
    loaded: tuple[EngineProcess, list[Event]],
) -> None:
    _, events = loaded
    fractions = [event.fraction for event in events if isinstance(event, LoadProgress)]
    assert fractions == sorted(fractions)
    assert fractions
    (info,) = (event.info for event in events if isinstance(event, Loaded))
    assert (info.n_ctx, info.n_threads, info.has_chat_template) == (512, 1, True)
    assert info.fingerprint.startswith(f"fp_{build_version()}_")


def test_a_greedy_answer_repeats_itself(loaded: tuple[EngineProcess, list[Event]]) -> None:
    engine, _ = loaded
    first = answer(engine, "a", temperature=0.0)
    assert first
    assert answer(engine, "b", temperature=0.0) == first


def test_a_question_about_tokens_needs_no_generation(
    loaded: tuple[EngineProcess, list[Event]],
) -> None:
    engine, _ = loaded
    engine.send(Tokenize(request_id="t", text="Hello"))
    (ids,) = (event for event in engine.events_until(TokenIds) if isinstance(event, TokenIds))
    assert ids.tokens


def test_a_template_that_does_not_compile_refuses_the_load(engine: EngineProcess) -> None:
    params = LoadParams(n_ctx=512, n_threads=1, chat_template="{% if %}")
    engine.send(Load(model_path=str(NANO), params=params))
    failed = engine.events_until(LoadFailed)[-1]
    assert isinstance(failed, LoadFailed)
    assert failed.param == "load_model_configs.chat_template"
    assert engine.exit_code() == 3


def test_a_file_that_is_no_model_refuses_the_load_and_logs_why(
    engine: EngineProcess, tmp_path: Path
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(64))
    engine.send(Load(model_path=str(path), params=PARAMS))
    events = engine.events_until(LoadFailed)
    assert any(isinstance(event, LogLine) and event.level == "error" for event in events)
    assert engine.exit_code() == 3


def test_a_model_that_loads_but_does_not_run_refuses_the_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise DecodeFailed("llama_decode returned -3")

    posted: list[Event] = []
    channel = cast(Channel, SimpleNamespace(post=posted.append, flush=lambda: None))
    monkeypatch.setattr(engine_main, "_warm_up", fail)
    assert engine_main._load(LOAD, channel) is None
    failed = posted[-1]
    assert isinstance(failed, LoadFailed)
    assert failed.message == f"llama.cpp could not run '{NANO.name}': llama_decode returned -3"


def test_a_format_of_states_that_is_not_understood_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def learn(context: Context, token: int) -> None:
        context.layout_error = "all layers are recurrent"
        context.decode([BatchPart(0, 0, [token], n_logits=1)])
        context.clear(0)

    posted: list[Event] = []
    channel = cast(Channel, SimpleNamespace(post=posted.append, flush=lambda: None))
    monkeypatch.setattr(Context, "learn_layout", learn)
    assert engine_main._load(LOAD, channel) is not None
    assert isinstance(posted[-1], Loaded)
    said = [event.text for event in posted if isinstance(event, LogLine)]
    (line,) = (text for text in said if "whole states" in text)
    assert line == "the prompt cache keeps whole states of this model: all layers are recurrent"


def test_too_little_memory_for_idle_conversations_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[Event] = []
    channel = cast(Channel, SimpleNamespace(post=posted.append, flush=lambda: None))
    small = msgspec.structs.replace(LOAD, queue=QueueParams(idle_cache_mb=1))
    assert engine_main._load(small, channel) is not None
    said = [event.text for event in posted if isinstance(event, LogLine)]
    assert sum("idle_cache_mb is too small for this model" in text for text in said) == 1


def test_commands_that_come_with_the_load_are_not_lost(engine: EngineProcess) -> None:
    engine.send(LOAD, Tokenize(request_id="t", text="Hello"), Shutdown())
    engine.events_until(TokenIds)
    assert engine.exit_code() == 0


@pytest.mark.parametrize("is_loaded", [False, True])
def test_an_engine_ends_when_the_other_process_is_gone(
    engine: EngineProcess, is_loaded: bool
) -> None:
    if is_loaded:
        engine.send(LOAD)
        engine.events_until(Loaded)
    engine.hang_up()
    assert engine.exit_code() == 0


def test_an_engine_that_is_not_asked_to_load_ends(engine: EngineProcess) -> None:
    engine.send(Shutdown())
    assert engine.exit_code() == 0
