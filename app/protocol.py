"""Owns the messages between the HTTP process and an engine process, and their framing.

Both processes import this file and nothing else of each other. A frame is a 4-byte
little-endian length and one msgpack-encoded struct whose `type` field names its class.
The HTTP process sends commands, the engine answers with events; everything that belongs to
one request carries its `request_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from app.errors import InvalidRequest

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH_BYTES = 4

JsonObject = dict[str, Any]


class _Message(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """A tagged message; the tag is the class name."""


# ---------------------------------------------------------------- parts of messages


class LoadParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to load a model; the names are those of `load_model_configs`.

    `None` leaves the choice to the engine (threads) or to the model file (rope).
    """

    n_ctx: int
    n_gpu_layers: int = 0
    n_batch: int = 512
    n_ubatch: int = 512
    n_threads: int | None = None
    n_threads_batch: int | None = None
    use_mmap: bool = True
    use_mlock: bool = False
    flash_attn: bool | None = None
    type_k: str = "f16"
    type_v: str = "f16"
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    seed: int | None = None
    verbose: bool = False
    chat_template: str | None = None


class QueueParams(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests an engine takes, how long one may take and what is kept of them.

    `step_target_ms` bounds how long the next token of a running request waits for others' prompts.
    Tokens that come within `stream_interval_ms` of the last ones leave together.
    `request_deadline_s` None is no deadline. `idle_cache_mb` bounds, in MiB, the memory for idle
    conversations outside the KV cache.
    """

    parallel: int = 4
    max_queue: int = 64
    step_target_ms: int = 250
    stream_interval_ms: int = 20
    request_deadline_s: float | None = None
    idle_cache_mb: int = 128


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is chosen; the names are llama-server's."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    logit_bias: dict[int, float] = {}


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine found in the model it loaded."""

    description: str
    n_params: int
    size_bytes: int
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_gpu_layers: int
    n_threads: int
    n_threads_batch: int
    has_chat_template: bool
    fingerprint: str
    load_ms: float


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one request."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one request went, in milliseconds; names are llama-server's."""

    queue_ms: float
    ttft_ms: float
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float
    cache_n: int


# ---------------------------------------------------------------- commands, host to engine


class Load(_Message, frozen=True, kw_only=True):
    """Load this model; the first command an engine gets, and it gets it once."""

    model_path: str
    params: LoadParams
    queue: QueueParams = QueueParams()


class Generate(_Message, frozen=True, kw_only=True):
    """Answer a conversation.

    `messages` and `tools` are the client's JSON objects; the engine renders them.
    `max_tokens` None means: until the context is full. `n` answers share one prompt; each has
    events of its own, told apart by `choice`, and a `Finished`. `sent_s` is when it was sent, on
    the monotonic clock, which both processes share.
    """

    request_id: str
    messages: list[JsonObject]
    tools: list[JsonObject] = []
    template_kwargs: JsonObject = {}
    sampling: SamplingParams
    max_tokens: int | None = None
    stop: list[str] = []
    n: int = 1
    report_progress: bool = False
    sent_s: float = 0.0


class Prefill(_Message, frozen=True, kw_only=True):
    """Render a conversation and keep its tokens in the KV cache; generate nothing."""

    request_id: str
    messages: list[JsonObject]
    tools: list[JsonObject] = []
    template_kwargs: JsonObject = {}
    sent_s: float = 0.0


class Cancel(_Message, frozen=True, kw_only=True):
    """Forget a request, queued or running; unknown ids are ignored."""

    request_id: str


class Tokenize(_Message, frozen=True, kw_only=True):
    """Turn text into token ids."""

    request_id: str
    text: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class Detokenize(_Message, frozen=True, kw_only=True):
    """Turn token ids into text."""

    request_id: str
    tokens: list[int]


class Shutdown(_Message, frozen=True, kw_only=True):
    """End the engine process."""


Command = Load | Generate | Prefill | Cancel | Tokenize | Detokenize | Shutdown


# ---------------------------------------------------------------- events, engine to host


class LoadProgress(_Message, frozen=True, kw_only=True):
    """How much of the weights is loaded, 0.0 to 1.0."""

    fraction: float


class Loaded(_Message, frozen=True, kw_only=True):
    """The model is loaded and has generated its first token."""

    info: ModelInfo


class LoadFailed(_Message, frozen=True, kw_only=True):
    """The model could not be loaded; the engine ends after this.

    `param` names the load parameter at fault, where it is one of the client's.
    """

    message: str
    param: str | None = None


class LogLine(_Message, frozen=True, kw_only=True):
    """A line for the service's log: llama.cpp's own, or the engine's."""

    level: str
    source: str
    text: str


class Started(_Message, frozen=True, kw_only=True):
    """The request left the queue; its prompt is rendered and tokenised."""

    request_id: str
    prompt_tokens: int
    cached_tokens: int


class PromptProgress(_Message, frozen=True, kw_only=True):
    """How far the prefill of a request is; only for requests that ask for it."""

    request_id: str
    total: int
    cache: int
    processed: int
    time_ms: float


class TextDelta(_Message, frozen=True, kw_only=True):
    """A piece of the answer's text."""

    request_id: str
    text: str
    choice: int = 0


class ReasoningDelta(_Message, frozen=True, kw_only=True):
    """A piece of the model's reasoning."""

    request_id: str
    text: str
    choice: int = 0


class ToolCallStart(_Message, frozen=True, kw_only=True):
    """The model began a tool call; `id` and `name` are sent once."""

    request_id: str
    index: int
    id: str
    name: str
    choice: int = 0


class ToolCallDelta(_Message, frozen=True, kw_only=True):
    """A piece of the JSON text of a tool call's arguments."""

    request_id: str
    index: int
    arguments: str
    choice: int = 0


class Finished(_Message, frozen=True, kw_only=True):
    """The request is done; `reason` is `stop`, `length` or `tool_calls`."""

    request_id: str
    reason: str
    usage: Usage
    timings: Timings
    choice: int = 0


class Failed(_Message, frozen=True, kw_only=True):
    """The request ended with an error; `kind` is the name of a class in `app.errors`."""

    request_id: str
    kind: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None


class TokenIds(_Message, frozen=True, kw_only=True):
    """Answer to `Tokenize`; `pieces` only where they were asked for."""

    request_id: str
    tokens: list[int]
    pieces: list[bytes] | None = None


class Text(_Message, frozen=True, kw_only=True):
    """Answer to `Detokenize`."""

    request_id: str
    text: str


class Stats(_Message, frozen=True, kw_only=True):
    """What the engine is doing; sent a few times a second while it works."""

    waiting: int
    running: int
    kv_tokens: int
    idle_bytes: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float


Delta = TextDelta | ReasoningDelta | ToolCallStart | ToolCallDelta
RequestEvent = Started | PromptProgress | Delta | Finished | Failed | TokenIds | Text
Event = LoadProgress | Loaded | LoadFailed | LogLine | Stats | RequestEvent


# ---------------------------------------------------------------- framing

_encoder = msgspec.msgpack.Encoder()


class FrameError(ValueError):
    """The peer sent bytes that are no frame."""


def encode(message: Command | Event) -> bytes:
    """Return the frame of one message.

    Raises:
        InvalidRequest: it has a number that no frame can carry.
    """
    try:
        body = _encoder.encode(message)
    except OverflowError:
        raise InvalidRequest(
            "A whole number in the request does not fit into 64 bits", param="body"
        ) from None
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class FrameReader:
    """Cuts a byte stream into messages; holds back an incomplete frame.

    Args:
        message_type: the union of structs that may arrive.
    """

    def __init__(self, message_type: Any) -> None:
        self._buffer = bytearray()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(message_type)

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield each message that `data` completes.

        Raises:
            FrameError: a length above `MAX_FRAME_BYTES`, or a body that is no known message.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"frame of {length} bytes is over {MAX_FRAME_BYTES}")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise FrameError(f"frame is no known message: {error}") from error


def event_reader() -> FrameReader:
    """Return a reader for what an engine sends."""
    return FrameReader(Event)


def command_reader() -> FrameReader:
    """Return a reader for what the HTTP process sends."""
    return FrameReader(Command)
