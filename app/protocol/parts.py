"""Owns the structs that commands and events contain."""

from __future__ import annotations

from typing import Literal

import msgspec

PromptEnd = Literal["opened", "closed", "continued", "continued_content", "continued_reasoning"]
"""How a prompt ends: with the header of the answer, after the last message, or inside it.

Inside is after the content, or after the reasoning, which is still open then; `continued` is that
of the two that the message ends with.
"""


REASONING_ENDED = -1
"""Stands among `Chosen` tokens for the place where `EndReasoning` came."""


class Message(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """A tagged message; the tag is the class name."""


class ExtraText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a model may look at when it fills in the middle of another."""

    text: str
    filename: str = ""


class Infill(msgspec.Struct, frozen=True, kw_only=True):
    """A text whose middle is to be filled in; `middle` is what it begins with.

    `extra` are other texts, the most important ones last. Of what is too long for the context, with
    `n_answer` tokens of an answer, the ends next to the middle are used.
    """

    prefix: str
    suffix: str
    middle: str = ""
    extra: list[ExtraText] = []
    n_answer: int = 0


class RawPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt without a chat template: either text or token ids.

    `suffix` makes it a fill-in-the-middle prompt, as does `infill`, which stands for all of it.
    `add_special` adds special tokens such as BOS to
    a text; token ids are used as they are.
    """

    text: str | None = None
    tokens: list[int] | None = None
    suffix: str | None = None
    infill: Infill | None = None
    add_special: bool = True


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint on the text of an answer.

    `kind` is the type of `text`: a JSON schema, a grammar (llguidance's Lark, or GBNF), a regular
    expression (Rust's, without look-around) or a JSON list of texts. `param` names the field of the
    request, for errors. Keywords of a schema that cannot be enforced are an error if `is_strict`,
    else ignored.
    """

    kind: Literal["json_schema", "grammar", "regex", "choice"]
    text: str
    param: str
    is_strict: bool = True


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a tool call is required, and which tools may be called.

    `names` are the allowed tools; empty means all.
    """

    is_required: bool = False
    names: list[str] = []
    parallel: bool = True


class ReasoningParams(msgspec.Struct, frozen=True, kw_only=True):
    """How reasoning is returned and limited.

    `is_split` sends it as `ReasoningDelta`; otherwise it stays in the text, tags included. `budget`
    is the maximum number of its tokens; None is no limit. `is_controlled` lets `EndReasoning`
    end it.
    """

    is_split: bool = True
    budget: int | None = None
    is_controlled: bool = False


class CacheMark(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a conversation that the client wants cached.

    It is after so many whole `messages`, and so many `parts` of the next one's content, or
    characters if that is a text. No message, or instructions only, is the end of instructions and
    tools.
    """

    messages: int = 0
    parts: int = 0
    characters: int = 0


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of the loaded model.

    `chat_template` is the Jinja source that is used, `template_takes` says of some things whether
    it takes them; `can_infill` is whether there are tokens to fill in the middle of a text.
    `no_speculation` is why nothing is drafted with it, `no_abort` why a step that has begun is
    finished though its request was cancelled; empty where they are on.
    """

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
    chat_template: str = ""
    template_takes: dict[str, bool] = {}
    bos_token: str = ""
    eos_token: str = ""
    can_infill: bool = False
    no_speculation: str = ""
    no_abort: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one request.

    `reasoning_tokens` are those of the answer's thoughts, without the tag that closes them;
    `marked_tokens` those of the prompt up to the last of the command's `cache_marks`.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    marked_tokens: int = 0


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Timings of one request, in milliseconds; names are llama-server's.

    `tier` is where the cached prefix was: `memory`, `disk` or `none`; `restore_ms` is the time to
    restore it, without what was read ahead while other requests ran.
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
    """A token with its bytes and log probability."""

    id: int = -1
    piece: bytes
    logprob: float


class TokenLogprob(TokenChance, frozen=True, kw_only=True):
    """A generated token; `top` are the most likely ones at its position, in descending order."""

    top: list[TokenChance] = []


class PromptToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a prompt; `top` are the most likely ones at its position, in descending order.

    The first one has no context: its `logprob` is None and its `top` is empty.
    """

    id: int
    piece: bytes
    logprob: float | None = None
    top: list[TokenChance] = []


class CacheMiss(msgspec.Struct, frozen=True, kw_only=True):
    """Where a prompt diverges from the most similar cached one; texts are excerpts."""

    index: int
    before: str
    prompt: str
    cached: str


class CacheMatch(msgspec.Struct, frozen=True, kw_only=True):
    """How many leading tokens of a prompt are cached, and why fewer were restored.

    `not_restored` is empty where all of them were.
    """

    tokens: int
    not_restored: str = ""


class ChangingHead(msgspec.Struct, frozen=True, kw_only=True):
    """Instructions and tools that change at one place from request to request.

    `index` is the first token that changes, of `head_tokens`; `kind` is `time`, `date`,
    `identifier`, `number`, `state` or `text`. `places` are those that change, `changes` the latest
    changes. `tokens` are prefilled again each time over it, which takes `seconds`. `before` and
    `values` are excerpts of prompts; `message` has none.
    """

    index: int
    head_tokens: int
    kind: str
    places: int
    changes: int
    tokens: int
    seconds: float
    before: str
    values: list[str]
    message: str


class DiskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the disk tier; times are seconds since 1970.

    `kind` is `block`, `state` or `pin`. An entry stands for the first `tokens` of a prompt and
    holds the rows of those from `start` on; none where they are equal.
    """

    id: str
    kind: str = "state"
    role: str
    profile: str
    start: int = 0
    tokens: int
    bytes: int
    created_s: float
    last_used_s: float


class KindCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers and bytes of the blocks and states of one tier."""

    blocks: int = 0
    block_bytes: int = 0
    states: int = 0
    state_bytes: int = 0


class CacheCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counters and sizes of the prompt cache, since the start of the engine process.

    `misses` are by reason; `not_restored` are those of them with this reason, by a finer one.
    `layout` is how the model's state is kept, `blocks`, `blocks_and_states` or `whole_states`, and
    `layout_message` why as a whole. `trouble` is why the disk tier is failing, else empty.
    """

    memory_hits: int = 0
    disk_hits: int = 0
    misses: dict[str, int] = {}
    not_restored: dict[str, int] = {}
    layout: str = "blocks"
    layout_message: str = ""
    memory_kinds: KindCounts = KindCounts()
    disk_kinds: KindCounts = KindCounts()
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
