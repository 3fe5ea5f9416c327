"""Owns the parts that messages between the two processes are made of."""

from __future__ import annotations

from typing import Literal

import msgspec

PromptEnd = Literal["opened", "closed", "continued"]
"""Where a prompt ends: with the opening of the answer, after the last message, or inside it."""


class Message(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """A tagged message; the tag is the class name."""


class LoadParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to load a model; the names are those of `load_model_configs`.

    `None` leaves the choice to the engine (threads), to the model file (rope, template) or to what
    the template shows (tool format).
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
    tool_format: str | None = None


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


class CacheParams(msgspec.Struct, frozen=True, kw_only=True):
    """Where prompts are kept on disk and what that may cost.

    `capacity_mb` bounds, in MiB, all models together; 0 is no disk tier. `daily_write_mb` bounds
    the wear of the disk; 0 is no bound. An idle conversation is written after `save_after_s`.
    `refused` says why there is no disk tier although one is wanted.
    """

    folder: str = ""
    capacity_mb: int = 0
    daily_write_mb: int = 0
    save_after_s: float = 2.0
    refused: str = ""


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
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: list[str] = msgspec.field(default_factory=lambda: list('\n:"*'))
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    ignore_eos: bool = False
    seed: int | None = None
    logit_bias: dict[int, float] = {}


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
