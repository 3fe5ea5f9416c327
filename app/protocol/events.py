"""Owns the events that an engine sends to the HTTP process."""

from __future__ import annotations

from app.protocol.parts import (
    CacheCounts,
    CacheMiss,
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
    """The model could not be loaded; the engine ends after this.

    `param` names the load parameter at fault, where it is one of the client's.
    """

    message: str
    param: str | None = None


class LogLine(Message, frozen=True, kw_only=True):
    """A line for the service's log: llama.cpp's own, or the engine's.

    `request_ids` are those of the requests that were worked on when it was written.
    """

    level: str
    source: str
    text: str
    request_ids: list[str] = []


class Accepted(Message, frozen=True, kw_only=True):
    """The request could be read and waits for its turn; comes first."""

    request_id: str


class Chosen(Message, frozen=True, kw_only=True):
    """Tokens that were chosen for an answer; with them another engine can go on with it.

    They come after what they add to the answer, and are not all of its tokens: those that follow
    by themselves are left out.
    """

    request_id: str
    tokens: list[int]
    choice: int = 0


class Started(Message, frozen=True, kw_only=True):
    """The request left the queue; its prompt is rendered and tokenised.

    `miss` only for requests that ask for it, and where a cached prompt parts from this one.
    """

    request_id: str
    prompt_tokens: int
    cached_tokens: int
    miss: CacheMiss | None = None


class PromptEcho(Message, frozen=True, kw_only=True):
    """The prompt as text; sent once, between `Started` and the first piece of an answer.

    `tokens` only where `prompt_logprobs` was asked for.
    """

    request_id: str
    text: str
    tokens: list[PromptToken] = []


class PromptProgress(Message, frozen=True, kw_only=True):
    """How far the prefill of a request is; only for requests that ask for it."""

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
    """The model began a tool call; `id` and `name` are sent once."""

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
    """Generated tokens and how likely they were; comes before the first piece that shows them.

    The one that ends the answer is among them only where the prompt's were asked for too.
    """

    request_id: str
    tokens: list[TokenLogprob]
    choice: int = 0


class TokensGenerated(Message, frozen=True, kw_only=True):
    """Ids of generated tokens, the one that ends the answer too; only where they were asked for.

    They come before the first piece that shows them.
    """

    request_id: str
    tokens: list[int]
    choice: int = 0


class Finished(Message, frozen=True, kw_only=True):
    """The request is done; `reason` is `stop`, `length` or `tool_calls`.

    `stop_string` is the one that ended the answer. `saved` says of a `Prefill` whether its prompt
    is on disk now.
    """

    request_id: str
    reason: str
    usage: Usage
    timings: Timings
    choice: int = 0
    stop_string: str | None = None
    saved: bool = False


class Failed(Message, frozen=True, kw_only=True):
    """The request ended with an error; `kind` is the name of a class in `app.errors`."""

    request_id: str
    kind: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None


class TokenIds(Message, frozen=True, kw_only=True):
    """Answer to `Tokenize`; `pieces` only where they were asked for."""

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


class CacheCleared(Message, frozen=True, kw_only=True):
    """Answer to `ClearCache`: what was forgotten."""

    request_id: str
    entries: int
    bytes: int


class MemoryTrimmed(Message, frozen=True, kw_only=True):
    """Answer to `TrimMemory`: what was dropped."""

    request_id: str
    entries: int
    bytes: int


class Stats(Message, frozen=True, kw_only=True):
    """What the engine is doing; sent a few times a second while it works."""

    waiting: int
    running: int
    kv_tokens: int
    idle_bytes: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    cache: CacheCounts = CacheCounts()


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
