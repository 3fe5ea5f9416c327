"""Owns the commands that the HTTP process sends to an engine."""

from __future__ import annotations

from app.base.json_types import JsonObject
from app.parameters.cache import CacheParams
from app.parameters.load import LoadParams
from app.parameters.queue import QueueParams
from app.parameters.sampling import SamplingParams
from app.protocol.parts import (
    Constraint,
    Message,
    PromptEnd,
    RawPrompt,
    ReasoningParams,
    ToolChoice,
)


class Load(Message, frozen=True, kw_only=True):
    """Load this model; the first command an engine gets, and it gets it once."""

    model_path: str
    params: LoadParams
    queue: QueueParams = QueueParams()
    cache: CacheParams = CacheParams()


class Generate(Message, frozen=True, kw_only=True):
    """Answer a conversation, or go on with a `prompt` where there is one.

    `messages` and `tools` are JSON text, as the client sent it; the engine renders them. An
    answer to a prompt that is `continued` is what follows the text of the last message.
    `max_tokens` None means: until the context is full. `n` answers share one prompt; each has
    events of its own, told apart by `choice`, and a `Finished`. `sent_s` is when it was sent, on
    the monotonic clock, which both processes share. `n_logprobs` asks for `TokenLogprobs` with as
    many of the likeliest tokens; None asks for none. With `speculate` False every token is decoded
    by itself, whatever the prompt lets foresee. `resumes` has the `Chosen` tokens of each answer
    where another engine died over them: they are replayed, and the answers go on behind them. Such
    a request needs no room in the queue; lists of no tokens say only that.
    The answer to a `prompt` is plain text; with one, `max_tokens` may be 0. `echo` asks for a
    `PromptEcho`, as does `prompt_logprobs`: for one with as many of the likeliest tokens at each
    place of the prompt, which is not taken from the cache then. `report_tokens` asks for
    `TokensGenerated`.
    """

    request_id: str
    messages: bytes = b"[]"
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
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
    tool_choice: ToolChoice = ToolChoice()
    constraint: Constraint | None = None
    reasoning: ReasoningParams = ReasoningParams()
    speculate: bool = True
    resumes: list[list[int]] | None = None
    sent_s: float = 0.0


class Prefill(Message, frozen=True, kw_only=True):
    """Prefill and save what the next request with these messages will share; generate nothing.

    `profile` keeps the entry on disk for as long as that profile exists.
    """

    request_id: str
    messages: bytes
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
    profile: str = ""
    sent_s: float = 0.0


class Cancel(Message, frozen=True, kw_only=True):
    """Forget a request, queued or running; unknown ids are ignored."""

    request_id: str


class Tokenize(Message, frozen=True, kw_only=True):
    """Turn text into token ids."""

    request_id: str
    text: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class Render(Message, frozen=True, kw_only=True):
    """Write a conversation as the prompt that a `Generate` would have."""

    request_id: str
    messages: bytes
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"


class CountTokens(Message, frozen=True, kw_only=True):
    """Count the tokens of the prompt that a `Generate` would have; needs no place in the queue."""

    request_id: str
    messages: bytes = b"[]"
    tools: bytes = b"[]"
    template_kwargs: JsonObject = {}
    prompt_end: PromptEnd = "opened"
    prompt: RawPrompt | None = None


class Detokenize(Message, frozen=True, kw_only=True):
    """Turn token ids into text."""

    request_id: str
    tokens: list[int]


class DescribeCache(Message, frozen=True, kw_only=True):
    """Tell what the prompt cache holds."""

    request_id: str


class ClearCache(Message, frozen=True, kw_only=True):
    """Forget every cached prompt of this model that no request works on."""

    request_id: str


class TrimMemory(Message, frozen=True, kw_only=True):
    """Memory is short: drop what no request works on and can be made again."""

    request_id: str


class KeepProfiles(Message, frozen=True, kw_only=True):
    """These profiles exist; entries of others may be evicted from now on."""

    names: list[str]


class Shutdown(Message, frozen=True, kw_only=True):
    """Save what is in the KV cache and end the engine process."""


Command = (
    Load
    | Generate
    | Prefill
    | Cancel
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
