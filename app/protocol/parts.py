"""Owns the parts that messages between the two processes are made of."""

from __future__ import annotations

from typing import Literal

import msgspec

PromptEnd = Literal["opened", "closed", "continued"]
"""Where a prompt ends: with the opening of the answer, after the last message, or inside it."""


class Message(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """A tagged message; the tag is the class name."""


class RawPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that no template writes: text or token ids, one of them.

    `suffix` makes it a fill-in-the-middle prompt: the answer is what belongs between the two.
    `add_special` lets the tokenizer add what the model wants around a text, such as BOS; token ids
    are taken as they are.
    """

    text: str | None = None
    tokens: list[int] | None = None
    suffix: str | None = None
    add_special: bool = True


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of an answer has to be.

    `kind` says what `text` is: a JSON schema, a grammar (llguidance's Lark, or GBNF), a regular
    expression (Rust's, without look-around) or a JSON list of texts. `param` names the field of the
    request, for errors. What of a schema cannot be enforced is an error where `is_strict`, and
    ignored elsewhere.
    """

    kind: Literal["json_schema", "grammar", "regex", "choice"]
    text: str
    param: str
    is_strict: bool = True


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the answer has to be a tool call, and of which tools.

    `names` are those of the offered tools that may be called; empty means all of them.
    """

    is_required: bool = False
    names: list[str] = []
    parallel: bool = True


class ReasoningParams(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of what the model thinks before it answers.

    `is_split` sends it as `ReasoningDelta`; otherwise it stays in the text, tags included. After
    `budget` tokens of it the answer begins; None is no limit.
    """

    is_split: bool = True
    budget: int | None = None


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
    """Where the time of one request went, in milliseconds; names are llama-server's.

    `tier` says where the cached part of the prompt was: `memory`, `disk` or `none`; `restore_ms` is
    what bringing it back took.
    """

    queue_ms: float
    ttft_ms: float
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float
    cache_n: int
    tier: str = "none"
    restore_ms: float = 0.0


class TokenChance(msgspec.Struct, frozen=True, kw_only=True):
    """A token's bytes, the natural logarithm of its probability, and its id."""

    id: int = -1
    piece: bytes
    logprob: float


class TokenLogprob(TokenChance, frozen=True, kw_only=True):
    """A generated token; `top` are the likeliest ones in its place, the best first."""

    top: list[TokenChance] = []


class PromptToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a prompt; `top` are the likeliest ones in its place, the best first.

    Nothing is before the first one, so its `logprob` is None and its `top` is empty.
    """

    id: int
    piece: bytes
    logprob: float | None = None
    top: list[TokenChance] = []


class CacheMiss(msgspec.Struct, frozen=True, kw_only=True):
    """Where a prompt parts from the cached one that is most like it; texts are a few words long."""

    index: int
    before: str
    prompt: str
    cached: str


class DiskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the disk tier; times are seconds since 1970."""

    id: str
    role: str
    profile: str
    tokens: int
    bytes: int
    created_s: float
    last_used_s: float


class CacheCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the prompt cache did and holds; counted from the start of the engine process.

    `misses` tells them by reason. `trouble` is why the disk tier does not work, empty where it
    does.
    """

    memory_hits: int = 0
    disk_hits: int = 0
    misses: dict[str, int] = {}
    restored_tokens: int = 0
    memory_entries: int = 0
    memory_bytes: int = 0
    memory_capacity_bytes: int = 0
    disk_entries: int = 0
    disk_bytes: int = 0
    disk_capacity_bytes: int = 0
    disk_saves: int = 0
    disk_evicted: int = 0
    disk_bad_entries: int = 0
    disk_waiting: int = 0
    written_today_bytes: int = 0
    daily_write_bytes: int = 0
    trouble: str = ""
