"""Every message survives the way through the socket, and nothing else gets through."""

from __future__ import annotations

import typing
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import protocol
from app.protocol import (
    MAX_FRAME_BYTES,
    Command,
    Event,
    FrameError,
    FrameReader,
    command_reader,
    encode,
    event_reader,
)

SAMPLING = protocol.SamplingParams(
    temperature=0.1,
    top_k=1,
    top_p=0.2,
    min_p=0.3,
    typical_p=0.4,
    repeat_penalty=1.5,
    repeat_last_n=7,
    frequency_penalty=0.5,
    presence_penalty=-0.5,
    top_n_sigma=1.5,
    xtc_probability=0.6,
    xtc_threshold=0.2,
    dry_multiplier=0.8,
    dry_base=1.25,
    dry_allowed_length=3,
    dry_penalty_last_n=8,
    dry_sequence_breakers=["\n", "¡"],
    dynatemp_range=0.9,
    dynatemp_exponent=1.1,
    mirostat=2,
    mirostat_tau=4.0,
    mirostat_eta=0.7,
    ignore_eos=True,
    seed=2**31,
    logit_bias={3: -100.0, 151_000: 1.5},
)
LOAD = protocol.LoadParams(
    n_ctx=2048,
    n_gpu_layers=-1,
    n_batch=64,
    n_ubatch=32,
    n_threads=2,
    n_threads_batch=3,
    use_mmap=False,
    use_mlock=True,
    flash_attn=True,
    type_k="q8_0",
    type_v="q4_0",
    rope_freq_base=1e6,
    rope_freq_scale=0.5,
    seed=5,
    verbose=True,
    chat_template="{{ messages }}",
    tool_format="llama",
    special_tokens_in_content="control",
    system_prompt="Be brief.",
)
QUEUE = protocol.QueueParams(
    parallel=2,
    max_queue=3,
    step_target_ms=100,
    stream_interval_ms=9,
    request_deadline_s=1.5,
    idle_cache_mb=7,
)
CACHE = protocol.CacheParams(
    folder="/cache",
    disk_cache_mb=1,
    disk_daily_write_mb=2,
    disk_save_after_s=3.5,
    refused="in use",
)
INFO = protocol.ModelInfo(
    description="tiny",
    n_params=5_000_000_000,
    size_bytes=2**33,
    n_ctx=2048,
    n_ctx_train=4096,
    n_vocab=32_000,
    n_gpu_layers=1,
    n_threads=2,
    n_threads_batch=3,
    has_chat_template=True,
    fingerprint="fp_x",
    load_ms=12.5,
    chat_template="{{ messages }}",
    template_takes={"supports_tools": True},
    bos_token="<s>",
    eos_token="</s>",
    can_infill=True,
    no_speculation="recurrent layers",
    no_abort="recurrent layers",
)
MESSAGES = '[{"role": "user", "content": "Grüße 🦙", "nested": [null, 1.5, {"a": -1}]}]'.encode()
TOOLS = b'[{"type": "function", "function": {"name": "weather"}}]'
USAGE = protocol.Usage(
    prompt_tokens=1,
    cached_tokens=2,
    completion_tokens=3,
    reasoning_tokens=4,
    marked_tokens=5,
)
MARKS = [protocol.CacheMark(messages=2, parts=1, characters=3)]
TIMINGS = protocol.Timings(
    queue_ms=1.0,
    ttft_ms=2.0,
    prompt_n=3,
    prompt_ms=4.0,
    predicted_n=5,
    predicted_ms=6.0,
    cache_n=7,
    tier="disk",
    restore_ms=8.0,
)
MISS = protocol.CacheMiss(index=3, before="today is", prompt=" Friday", cached=" Montag")
TOKEN = protocol.TokenLogprob(
    id=7, piece=b"\xc3", logprob=-0.5, top=[protocol.TokenChance(id=8, piece=b"a", logprob=-0.25)]
)
EXTRA = protocol.ExtraText(text="import os", filename="b.py")
INFILL = protocol.Infill(prefix="def f(", suffix="):", middle="a", extra=[EXTRA], n_answer=7)
PROMPT = protocol.RawPrompt(
    text="def f(", tokens=[1, 2], suffix="):", infill=INFILL, add_special=False
)
PROMPT_TOKEN = protocol.PromptToken(id=7, piece=b"\xc3", logprob=-0.5, top=TOKEN.top)
MATCH = protocol.CacheMatch(tokens=40, not_restored="no_state")
ENTRY = protocol.DiskEntry(
    id="e",
    kind="block",
    role="turn",
    profile="kitchen",
    start=32,
    tokens=40,
    bytes=2**40,
    created_s=1.5,
    last_used_s=2.5,
)
HEAD = protocol.ChangingHead(
    index=3,
    head_tokens=900,
    kind="time",
    places=2,
    changes=4,
    tokens=890,
    seconds=1.5,
    before="it is",
    values=["12:03"],
    message="It changes.",
)
COUNTS = protocol.CacheCounts(
    memory_hits=1,
    disk_hits=2,
    misses={"empty": 3, "not_restored": 2},
    not_restored={"corrupt": 2},
    layout="whole_states",
    layout_message="the window is of an unknown kind",
    memory_kinds=protocol.KindCounts(blocks=3, block_bytes=2**39, states=2, state_bytes=2**38),
    disk_kinds=protocol.KindCounts(blocks=4, block_bytes=2**41, states=1, state_bytes=2**40),
    restored_tokens=4,
    memory_entries=5,
    memory_bytes=2**40,
    memory_capacity_bytes=2**41,
    disk_entries=6,
    disk_bytes=2**42,
    disk_capacity_bytes=2**43,
    disk_saves=7,
    disk_evicted=8,
    disk_bad_entries=9,
    disk_waiting=10,
    written_today_bytes=2**44,
    daily_write_bytes=2**45,
    trouble="the disk is full",
)

COMMANDS: list[Command] = [
    protocol.Load(model_path="/models/a.gguf", params=LOAD, queue=QUEUE, cache=CACHE),
    protocol.Generate(
        request_id="r",
        messages=MESSAGES,
        tools=TOOLS,
        template_kwargs={"thinking": False},
        prompt_end="continued",
        prompt=PROMPT,
        sampling=SAMPLING,
        max_tokens=9,
        stop=["user:"],
        n=3,
        report_progress=True,
        explain_cache=True,
        n_logprobs=5,
        echo=True,
        prompt_logprobs=3,
        report_tokens=True,
        cache_marks=MARKS,
        tool_choice=protocol.ToolChoice(is_required=True, names=["weather"], parallel=False),
        constraint=protocol.Constraint(kind="regex", text="[0-9]+", param="regex", is_strict=False),
        reasoning=protocol.ReasoningParams(is_split=False, budget=64),
        speculate=False,
        is_admitted=True,
        resumes=[[5, 6], [], [7]],
        sent_s=1.25,
    ),
    protocol.Prefill(
        request_id="r",
        messages=MESSAGES,
        tools=TOOLS,
        template_kwargs={"thinking": True},
        prompt_end="closed",
        profile="kitchen",
        sent_s=1.25,
    ),
    protocol.Cancel(request_id="r"),
    protocol.EndReasoning(request_id="r"),
    protocol.Render(
        request_id="r",
        messages=MESSAGES,
        tools=TOOLS,
        template_kwargs={"thinking": True},
        prompt_end="closed",
    ),
    protocol.CountTokens(
        request_id="r",
        messages=MESSAGES,
        tools=TOOLS,
        template_kwargs={"thinking": True},
        prompt_end="closed",
        prompt=PROMPT,
    ),
    protocol.Tokenize(
        request_id="r", text="a", add_special=True, parse_special=False, with_pieces=True
    ),
    protocol.Detokenize(request_id="r", tokens=[0, 2**31 - 1]),
    protocol.DescribeCache(request_id="r"),
    protocol.ClearCache(request_id="r"),
    protocol.TrimMemory(request_id="r"),
    protocol.KeepProfiles(names=["kitchen"]),
    protocol.Shutdown(),
]
EVENTS: list[Event] = [
    protocol.LoadProgress(fraction=0.5),
    protocol.Loaded(info=INFO),
    protocol.LoadFailed(message="no", param="load_model_configs.chat_template"),
    protocol.LogLine(level="warning", source="llama.cpp", text="line", request_ids=["r"]),
    protocol.Stats(
        waiting=1,
        running=2,
        kv_tokens=2**31,
        idle_bytes=2**40,
        prefill_tokens_per_s=100.5,
        decode_tokens_per_s=10.5,
        cache=COUNTS,
        hints=["It changes."],
    ),
    protocol.Accepted(request_id="r"),
    protocol.Chosen(request_id="r", tokens=[5, 6], choice=1),
    protocol.Started(request_id="r", prompt_tokens=4, cached_tokens=2, match=MATCH, miss=MISS),
    protocol.PromptProgress(request_id="r", total=9, cache=2, processed=5, time_ms=1.5),
    protocol.PromptEcho(request_id="r", text="Grüße", tokens=[PROMPT_TOKEN]),
    protocol.TokenLogprobs(request_id="r", tokens=[TOKEN], choice=1),
    protocol.TokensGenerated(request_id="r", tokens=[5, 6], choice=1),
    protocol.TextDelta(request_id="r", text="Grüße", choice=1),
    protocol.ReasoningDelta(request_id="r", text="hm", choice=1),
    protocol.ToolCallStart(request_id="r", index=1, id="call_1", name="weather", choice=1),
    protocol.ToolCallDelta(request_id="r", index=1, arguments='{"a"', choice=1),
    protocol.Finished(
        request_id="r",
        reason="stop",
        usage=USAGE,
        timings=TIMINGS,
        choice=1,
        stop_string="user:",
        saved=True,
    ),
    protocol.Failed(
        request_id="r",
        kind="InvalidRequest",
        message="no",
        param="stop",
        retry_after_s=7,
        requested=8,
        n_ctx=9,
    ),
    protocol.TokenIds(request_id="r", tokens=[1, 2], pieces=[b"a", b"\xff\x00"]),
    protocol.TokenCount(request_id="r", n_tokens=3),
    protocol.Text(request_id="r", text="text"),
    protocol.CacheReport(request_id="r", counts=COUNTS, entries=[ENTRY], changing_heads=[HEAD]),
    protocol.CacheCleared(request_id="r", entries=1, bytes=2**40),
    protocol.MemoryTrimmed(request_id="r", entries=1, bytes=2**40),
]
PARTS = [
    *(SAMPLING, LOAD, QUEUE, CACHE, TIMINGS, MISS, TOKEN, ENTRY, HEAD, COUNTS),
    *(PROMPT, INFILL, EXTRA, PROMPT_TOKEN),
]
ALL = b"".join(map(encode, COMMANDS))


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def read(reader: FrameReader, data: bytes) -> list[Any]:
    return list(reader.feed(data))


def name_of(message: object) -> str:
    return type(message).__name__


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(("union", "examples"), [(Command, COMMANDS), (Event, EVENTS)])
def test_there_is_an_example_of_every_message(union: Any, examples: list[Any]) -> None:
    assert [type(example) for example in examples] == list(typing.get_args(union))


@pytest.mark.parametrize("message", [*COMMANDS, *EVENTS, *PARTS], ids=name_of)
def test_an_example_has_a_value_of_its_own_in_every_field(message: msgspec.Struct) -> None:
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        assert value != field.default
        assert value or field.default or field.required, f"{field.name} is as empty as its default"


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_a_command_arrives_as_it_was_sent(command: Command) -> None:
    assert read(command_reader(), encode(command)) == [command]


@pytest.mark.parametrize("event", EVENTS, ids=name_of)
def test_an_event_arrives_as_it_was_sent(event: Event) -> None:
    assert read(event_reader(), encode(event)) == [event]


def test_commands_and_events_are_not_taken_for_each_other() -> None:
    with pytest.raises(FrameError):
        read(event_reader(), encode(protocol.Shutdown()))
    with pytest.raises(FrameError):
        read(command_reader(), encode(protocol.LoadProgress(fraction=0.0)))


# ---------------------------------------------------------------- frames


def test_a_frame_is_a_little_endian_length_and_a_tagged_map() -> None:
    data = encode(protocol.Cancel(request_id="r"))
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert msgspec.msgpack.decode(data[4:]) == {"type": "Cancel", "request_id": "r"}


@given(st.lists(st.integers(0, len(ALL)), max_size=20))
def test_frames_cut_anywhere_are_the_same_messages(cuts: list[int]) -> None:
    reader = command_reader()
    marks = [0, *sorted(cuts), len(ALL)]
    messages = []
    for start, end in pairwise(marks):
        messages += read(reader, ALL[start:end])
    assert messages == COMMANDS


def test_a_message_is_read_with_its_last_byte_and_not_before() -> None:
    reader = command_reader()
    *first, last = (bytes([byte]) for byte in encode(protocol.Shutdown()))
    assert all(read(reader, byte) == [] for byte in first)
    assert read(reader, last) == [protocol.Shutdown()]


def test_a_length_above_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(FrameError, match=str(MAX_FRAME_BYTES + 1)):
        read(command_reader(), (MAX_FRAME_BYTES + 1).to_bytes(4, "little"))


def test_the_largest_length_is_waited_for() -> None:
    assert read(command_reader(), MAX_FRAME_BYTES.to_bytes(4, "little")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        msgspec.msgpack.encode(["Cancel", "r"]),
        msgspec.msgpack.encode({"request_id": "r"}),
        msgspec.msgpack.encode({"type": "Unknown"}),
        msgspec.msgpack.encode({"type": "Cancel"}),
        msgspec.msgpack.encode({"type": "Cancel", "request_id": 1}),
        msgspec.msgpack.encode({"type": "Shutdown"}) + b"rubbish",
    ],
)
def test_a_body_that_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        read(command_reader(), frame(body))


@given(st.binary(max_size=40).filter(lambda body: b"Shutdown" not in body))
def test_rubbish_is_an_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(FrameError):
        read(command_reader(), frame(body))


def test_text_that_is_not_utf8_is_an_error_of_the_frame() -> None:
    body = b"\x82\xa4type\xa6Cancel\xaarequest_id\xa1\xff"
    with pytest.raises(FrameError):
        read(command_reader(), frame(body))


def test_a_body_nested_too_deeply_is_an_error_of_the_frame() -> None:
    prefill = {"type": "Prefill", "request_id": "r", "messages": []}
    body = msgspec.msgpack.encode(prefill)[:-1] + b"\x91\x81\xa1a" + b"\x91" * 100_000
    with pytest.raises(FrameError):
        read(command_reader(), frame(body))


def test_messages_before_the_bad_one_are_still_read() -> None:
    messages = command_reader().feed(encode(protocol.Shutdown()) + frame(b"\xc1"))
    assert next(messages) == protocol.Shutdown()
    with pytest.raises(FrameError):
        next(messages)
