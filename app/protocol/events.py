"""Owns the events that an engine sends to the HTTP process."""

from __future__ import annotations

from app.protocol.parts import (
    CacheCounts,
    CacheMatch,
    CacheMiss,
    ChangingHead,
    DiskEntry,
    Message,
    ModelInfo,
    PromptToken,
    Timings,
    TokenLogprob,
    Usage,
)


class LoadProgress(Message, frozen=True, kw_only=True):
    """How much of the weights is loaded, 0.0 to 1.0."""

    fraction: float


class Loaded(Message, frozen=True, kw_only=True):
    """The model is loaded and has generated its first token."""

    info: ModelInfo


class LoadFailed(Message, frozen=True, kw_only=True):
    """The model could not be loaded; the engine exits.

    `param` names the invalid load parameter, if it was given by the client.
    """

    message: str
    param: str | None = None


class LogLine(Message, frozen=True, kw_only=True):
    """A line for the service's log: llama.cpp's own, or the engine's.

    `request_ids` are those of the requests in progress when it was logged.
    """

    level: str
    source: str
    text: str
    request_ids: list[str] = []


class Accepted(Message, frozen=True, kw_only=True):
    """The request is valid and queued; always the first event."""

    request_id: str


class Chosen(Message, frozen=True, kw_only=True):
    """Sampled tokens of an answer, with which another engine can resume it.

    Sent after the deltas they produced. Tokens that are determined by the others are omitted.
    `REASONING_ENDED` is where reasoning was ended.
    """

    request_id: str
    tokens: list[int]
    choice: int = 0


class Started(Message, frozen=True, kw_only=True):
    """The request left the queue; its prompt is rendered and tokenised.

    `match` and `miss` are only set on request, `miss` only if a cached prompt diverges from this
    one.
    """

    request_id: str
    prompt_tokens: int
    cached_tokens: int
    match: CacheMatch | None = None
    miss: CacheMiss | None = None


class PromptEcho(Message, frozen=True, kw_only=True):
    """The prompt as text; sent once, between `Started` and the first delta.

    `tokens` is only set if `prompt_logprobs` was requested, `ids` with the echo of a conversation
    whose `TokensGenerated` were requested.
    """

    request_id: str
    text: str
    tokens: list[PromptToken] = []
    ids: list[int] = []


class PromptProgress(Message, frozen=True, kw_only=True):
    """Progress of the prefill; only on request."""

    request_id: str
    total: int
    cache: int
    processed: int
    time_ms: float


class TextDelta(Message, frozen=True, kw_only=True):
    """A piece of the answer's text."""

    request_id: str
    text: str
    choice: int = 0


class ReasoningDelta(Message, frozen=True, kw_only=True):
    """A piece of the model's reasoning."""

    request_id: str
    text: str
    choice: int = 0


class ToolCallStart(Message, frozen=True, kw_only=True):
    """A tool call begins; `id` and `name` are sent once."""

    request_id: str
    index: int
    id: str
    name: str
    choice: int = 0


class ToolCallDelta(Message, frozen=True, kw_only=True):
    """A piece of the JSON text of a tool call's arguments."""

    request_id: str
    index: int
    arguments: str
    choice: int = 0


class TokenLogprobs(Message, frozen=True, kw_only=True):
    """Generated tokens with log probabilities; sent before the first delta that contains them.

    The end-of-generation token is included only if `prompt_logprobs` was requested.
    """

    request_id: str
    tokens: list[TokenLogprob]
    choice: int = 0


class TokensGenerated(Message, frozen=True, kw_only=True):
    """Ids of generated tokens, including the end-of-generation token; only on request.

    Sent before the first delta that contains them.
    """

    request_id: str
    tokens: list[int]
    choice: int = 0


class Finished(Message, frozen=True, kw_only=True):
    """An answer is complete; `reason` is `stop`, `length` or `tool_calls`.

    `stop_string` is the one that ended the answer. `saved` is whether the prompt of a `Prefill` is
    on disk.
    """

    request_id: str
    reason: str
    usage: Usage
    timings: Timings
    choice: int = 0
    stop_string: str | None = None
    saved: bool = False


class Failed(Message, frozen=True, kw_only=True):
    """The request failed; `kind` is the name of a class in `app.errors`.

    `requested` and `n_ctx` are the tokens of a prompt that is too long, and those of the window.
    """

    request_id: str
    kind: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    requested: int | None = None
    n_ctx: int | None = None


class TokenIds(Message, frozen=True, kw_only=True):
    """Answer to `Tokenize`; `pieces` only on request."""

    request_id: str
    tokens: list[int]
    pieces: list[bytes] | None = None


class TokenCount(Message, frozen=True, kw_only=True):
    """Answer to `CountTokens`."""

    request_id: str
    n_tokens: int


class Text(Message, frozen=True, kw_only=True):
    """Answer to `Detokenize` and `Render`."""

    request_id: str
    text: str


class CacheReport(Message, frozen=True, kw_only=True):
    """Answer to `DescribeCache`."""

    request_id: str
    counts: CacheCounts
    entries: list[DiskEntry]
    changing_heads: list[ChangingHead] = []


class CacheCleared(Message, frozen=True, kw_only=True):
    """Answer to `ClearCache`: what was removed."""

    request_id: str
    entries: int
    bytes: int


class MemoryTrimmed(Message, frozen=True, kw_only=True):
    """Answer to `TrimMemory`: what was dropped."""

    request_id: str
    entries: int
    bytes: int


class Stats(Message, frozen=True, kw_only=True):
    """Load and throughput of the engine; sent a few times a second while it is busy.

    `hints` are sentences on what slows the engine down and clients can change.
    """

    waiting: int
    running: int
    kv_tokens: int
    idle_bytes: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    cache: CacheCounts = CacheCounts()
    hints: list[str] = []


Delta = TextDelta | ReasoningDelta | ToolCallStart | ToolCallDelta
Reply = TokenIds | TokenCount | Text | CacheReport | CacheCleared | MemoryTrimmed
Note = Accepted | Chosen
RequestEvent = (
    Note
    | Started
    | PromptProgress
    | PromptEcho
    | TokenLogprobs
    | TokensGenerated
    | Delta
    | Finished
    | Failed
    | Reply
)
Event = LoadProgress | Loaded | LoadFailed | LogLine | Stats | RequestEvent
