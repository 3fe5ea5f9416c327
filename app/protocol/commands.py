"""Owns the commands that the HTTP process sends to an engine."""

from __future__ import annotations

from app.base.json_types import JsonObject
from app.parameters.cache import CacheParams
from app.parameters.load import LoadParams
from app.parameters.queue import QueueParams
from app.parameters.sampling import SamplingParams
from app.protocol.parts import (
    CacheMark,
    Constraint,
    Message,
    PromptEnd,
    RawPrompt,
    ReasoningParams,
    ToolChoice,
)


class Load(Message, frozen=True, kw_only=True):
    """Load a model; the first command of an engine, sent once."""

    model_path: str
    params: LoadParams
    queue: QueueParams = QueueParams()
    cache: CacheParams = CacheParams()


class Generate(Message, frozen=True, kw_only=True):
    """Answer a conversation, or continue a raw `prompt` if there is one.

    `messages` and `tools` are JSON text, as the client sent it; the engine renders them. If the
    prompt is `continued`, the answer is the rest of the last message. `max_tokens` None means:
    until the context is full. The `n` answers share one prompt; each has its own events, identified
    by `choice`, and its own `Finished`. `sent_s` is the time of sending, on the monotonic clock
    that both processes share. `n_logprobs` requests `TokenLogprobs` with that many of the most
    likely tokens; None disables them. `speculate` allows speculative decoding. `resumes` has the
    `Chosen` tokens of each answer that another engine did not finish: they are replayed, and the
    answers continue after them. A request that is resumed, or `is_admitted` as part of one that
    found room before, bypasses the limit of the queue. The answer to a `prompt` is plain text, and
    its `max_tokens` may be 0. `echo` requests a `PromptEcho`, as does `prompt_logprobs`: one with
    that many of the most likely tokens at each position of the prompt, which then bypasses the
    cache. `report_tokens` requests `TokensGenerated`. Prompts can go on from the last four of
    `cache_marks`, whatever the model. `context` are tokens of earlier turns: the conversation
    follows them, and its instructions are theirs.
    """

    request_id: str
    messages: bytes = b"[]"
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
    context: list[int] = []
    prompt: RawPrompt | None = None
    sampling: SamplingParams
    max_tokens: int | None = None
    stop: list[str] = []
    n: int = 1
    report_progress: bool = False
    explain_cache: bool = False
    n_logprobs: int | None = None
    echo: bool = False
    prompt_logprobs: int | None = None
    report_tokens: bool = False
    cache_marks: list[CacheMark] = []
    tool_choice: ToolChoice = ToolChoice()
    constraint: Constraint | None = None
    reasoning: ReasoningParams = ReasoningParams()
    speculate: bool = True
    is_admitted: bool = False
    resumes: list[list[int]] | None = None
    sent_s: float = 0.0


class Prefill(Message, frozen=True, kw_only=True):
    """Prefill and save the prefix that later requests will share; generate nothing.

    `profile` pins the entry on disk for as long as that profile exists.
    """

    request_id: str
    messages: bytes
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
    profile: str = ""
    sent_s: float = 0.0


class Cancel(Message, frozen=True, kw_only=True):
    """Cancel a request, queued or running; unknown ids are ignored."""

    request_id: str


class EndReasoning(Message, frozen=True, kw_only=True):
    """End the reasoning of an answer; where that is over or not controlled, nothing happens."""

    request_id: str


class Tokenize(Message, frozen=True, kw_only=True):
    """Convert text into token ids."""

    request_id: str
    text: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class Render(Message, frozen=True, kw_only=True):
    """Render a conversation into the prompt of a `Generate`."""

    request_id: str
    messages: bytes
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"


class CountTokens(Message, frozen=True, kw_only=True):
    """Count the tokens of the prompt of a `Generate`; bypasses the queue."""

    request_id: str
    messages: bytes = b"[]"
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
    prompt: RawPrompt | None = None


class Detokenize(Message, frozen=True, kw_only=True):
    """Convert token ids into text."""

    request_id: str
    tokens: list[int]


class DescribeCache(Message, frozen=True, kw_only=True):
    """Report the contents of the prompt cache."""

    request_id: str


class ClearCache(Message, frozen=True, kw_only=True):
    """Remove all cached prompts of this model that are not in use."""

    request_id: str


class TrimMemory(Message, frozen=True, kw_only=True):
    """Free memory: drop cached state that is not in use."""

    request_id: str


class KeepProfiles(Message, frozen=True, kw_only=True):
    """Set the existing profiles; entries of others may be evicted."""

    names: list[str]


class Shutdown(Message, frozen=True, kw_only=True):
    """Save the KV cache and exit."""


Command = (
    Load
    | Generate
    | Prefill
    | Cancel
    | EndReasoning
    | Render
    | CountTokens
    | Tokenize
    | Detokenize
    | DescribeCache
    | ClearCache
    | TrimMemory
    | KeepProfiles
    | Shutdown
)
