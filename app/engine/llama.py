"""Owns every call into llama.cpp: the only file that imports `llama_cpp`.

It speaks plain Python values and knows nothing of requests, scheduling or text. Names and
return codes are those of `llama.h`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as lib

from app.engine.sampling import Stage
from app.errors import ModelLoadFailed
from app.protocol import LoadParams

LogSink = Callable[[str, str], None]
_LOG_LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}
_LOG_CONTINUES = 5
_FLASH_ATTN = {None: -1, False: 0, True: 1}
_KV_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "iq4_nl": 20,
    "bf16": 30,
}
_DIGEST_SPAN_BYTES = 1024 * 1024

DECODE_OK = 0
DECODE_NO_KV_SLOT = 1


class DecodeFailed(RuntimeError):
    """`llama_decode` returned a negative code; the context is not to be used again."""


_log_callback_alive: Any = None
_last_errors: deque[str] = deque(maxlen=1)


def route_logs(sink: LogSink) -> None:
    """Send llama.cpp's log lines to `sink(level, text)`, one call a line.

    llama.cpp prints some lines in parts; the parts are joined here.
    """
    pending = ""
    level = "info"

    def on_log(raw_level: int, text: bytes, _user_data: Any) -> None:
        nonlocal pending, level
        if raw_level != _LOG_CONTINUES:
            level = _LOG_LEVELS.get(raw_level, "info")
        pending += text.decode("utf-8", "replace")
        while "\n" in pending:
            line, pending = pending.split("\n", 1)
            if line.strip(" ."):
                if level == "error":
                    _last_errors.append(line.strip())
                sink(level, line.rstrip())

    global _log_callback_alive
    _log_callback_alive = lib.llama_log_callback(on_log)
    lib.llama_log_set(_log_callback_alive, ctypes.c_void_p(0))


def _because() -> str:
    """Return llama.cpp's last error line, for the end of a message."""
    return f": {_last_errors[-1]}" if _last_errors else ""


def build_version() -> str:
    """Return the versions of llama.cpp and of the package that carries it."""
    raw: bytes = lib.llama_version()
    return f"{raw.decode()}+{llama_cpp.__version__}"


def file_digest(path: Path) -> str:
    """Return 12 hex digits that name a model file by its content.

    SHA-256 over the size, the first and the last MiB: hashing gigabytes on every start would
    cost a small device many seconds.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_DIGEST_SPAN_BYTES))
        file.seek(max(0, size - _DIGEST_SPAN_BYTES))
        digest.update(file.read(_DIGEST_SPAN_BYTES))
    return digest.hexdigest()[:12]


class Model:
    """A loaded GGUF file and its vocabulary.

    Raises:
        ModelLoadFailed: llama.cpp refused the file.
    """

    def __init__(self, path: Path, params: LoadParams, on_progress: Callable[[float], None]):
        lib.llama_backend_init()
        raw = lib.llama_model_default_params()
        raw.n_gpu_layers = params.n_gpu_layers
        raw.load_mode = _load_mode(params)

        def report(fraction: float, _user_data: Any) -> bool:
            on_progress(fraction)
            return True

        raw.progress_callback = lib.llama_progress_callback(report)
        handle = lib.llama_model_load_from_file(os.fsencode(path), raw)
        if not handle:
            raise ModelLoadFailed(f"llama.cpp could not load '{path.name}'{_because()}")
        self.handle: Any = handle
        self._vocab: Any = lib.llama_model_get_vocab(handle)
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        self._shown_specials: set[int] = set()
        self._piece_buffer = ctypes.create_string_buffer(256)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self._vocab)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(handle)
        self.n_layer: int = lib.llama_model_n_layer(handle)
        self.n_gpu_layers = _offloaded(params.n_gpu_layers, self.n_layer)
        self.n_swa: int = lib.llama_model_n_swa(handle)
        self.n_params: int = lib.llama_model_n_params(handle)
        self.size_bytes: int = lib.llama_model_size(handle)
        self.is_recurrent: bool = bool(
            lib.llama_model_is_recurrent(handle) or lib.llama_model_is_hybrid(handle)
        )
        if not lib.llama_model_has_decoder(handle) or lib.llama_model_has_encoder(handle):
            raise ModelLoadFailed(f"'{path.name}' is not a text-generation model")

    @property
    def description(self) -> str:
        """llama.cpp's own words for the model, such as `qwen3 0.6B Q8_0`."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        """The Jinja source in the file's metadata, or None."""
        raw = lib.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    @property
    def bos_text(self) -> str:
        """The text of the beginning-of-sequence token, empty where there is none."""
        return self._token_text(lib.llama_vocab_bos(self._vocab))

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty where there is none."""
        return self._token_text(lib.llama_vocab_eos(self._vocab))

    @property
    def first_token(self) -> int:
        """A token any prompt may begin with; used to warm up."""
        bos: int = lib.llama_vocab_bos(self._vocab)
        eos: int = lib.llama_vocab_eos(self._vocab)
        return bos if bos >= 0 else max(0, eos)

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        return self._render_piece(token, special=True).decode("utf-8", "replace")

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) // 3 + 16
        while True:
            ids = (lib.llama_token * room)()
            count = lib.llama_tokenize(
                self._vocab, data, len(data), ids, room, add_special, parse_special
            )
            if count >= 0:
                return list(ids[:count])
            room = -count

    def show_special(self, texts: Iterable[str]) -> None:
        """Let special tokens with these texts appear in pieces (tags of a tool format)."""
        for text in texts:
            ids = self.tokenize(text, add_special=False, parse_special=True)
            if len(ids) == 1:
                self._shown_specials.add(ids[0])
                self._pieces.pop(ids[0], None)

    def piece(self, token: int) -> bytes:
        """Return the bytes a token adds to the answer; empty for hidden special tokens."""
        found = self._pieces.get(token)
        if found is None:
            found = self._render_piece(token, special=token in self._shown_specials)
            self._pieces[token] = found
        return found

    def shown_piece(self, token: int) -> bytes:
        """Return the bytes of a token, those of special ones too."""
        return self._render_piece(token, special=True)

    def _render_piece(self, token: int, *, special: bool) -> bytes:
        buffer = self._piece_buffer
        size = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = self._piece_buffer = ctypes.create_string_buffer(-size)
            size = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(0, size)]

    def is_end(self, token: int) -> bool:
        """Say whether a token ends the generation."""
        found = self._ends.get(token)
        if found is None:
            found = self._ends[token] = bool(lib.llama_vocab_is_eog(self._vocab, token))
        return found

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        for token in tokens:
            if not 0 <= token < self.n_vocab:
                raise ValueError(f"{token} is no token id; ids run from 0 to {self.n_vocab - 1}")
        ids = (lib.llama_token * len(tokens))(*tokens)
        room = 16 + 8 * len(tokens)
        while True:
            buffer = ctypes.create_string_buffer(room)
            size = lib.llama_detokenize(self._vocab, ids, len(tokens), buffer, room, False, True)
            if size >= 0:
                return buffer.raw[:size].decode("utf-8", "replace")
            room = -size


def _offloaded(requested: int, n_layer: int) -> int:
    """Return how many layers lie on a GPU; the output layer counts as one."""
    if not lib.llama_supports_gpu_offload():
        return 0
    return n_layer + 1 if requested < 0 else min(requested, n_layer + 1)


def _load_mode(params: LoadParams) -> int:
    if params.use_mmap:
        return 3 if params.use_mlock else 1
    return 2 if params.use_mlock else 0


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Consecutive tokens of one sequence in a step.

    Args:
        seq_id: the sequence they belong to.
        start: position of the first one.
        tokens: their ids.
        wants_logits: whether the last one is to be sampled from.
    """

    seq_id: int
    start: int
    tokens: Sequence[int]
    wants_logits: bool


class Context:
    """A llama.cpp context: the KV cache of all sequences and the batch that fills it."""

    def __init__(self, model: Model, params: LoadParams, *, n_seq_max: int, n_threads: int):
        raw = lib.llama_context_default_params()
        raw.n_ctx = params.n_ctx
        raw.n_batch = min(params.n_batch, params.n_ctx)
        raw.n_ubatch = min(params.n_ubatch, raw.n_batch)
        raw.n_seq_max = n_seq_max
        raw.n_outputs_max = n_seq_max
        raw.n_threads = params.n_threads or n_threads
        raw.n_threads_batch = params.n_threads_batch or params.n_threads or n_threads
        raw.flash_attn_type = _FLASH_ATTN[params.flash_attn]
        raw.rope_freq_base = params.rope_freq_base or 0.0
        raw.rope_freq_scale = params.rope_freq_scale or 0.0
        raw.type_k = _KV_TYPES[params.type_k]
        raw.type_v = _KV_TYPES[params.type_v]
        raw.kv_unified = True
        raw.no_perf = True
        handle = lib.llama_init_from_model(model.handle, raw)
        if not handle:
            raise ModelLoadFailed(
                "llama.cpp could not make a context with these settings "
                f"(n_ctx {params.n_ctx}, type_k {params.type_k}, type_v {params.type_v})"
                f"{_because()}"
            )
        self.handle: Any = handle
        self._memory: Any = lib.llama_get_memory(handle)
        self._n_swa = model.n_swa
        self.n_ctx: int = lib.llama_n_ctx(handle)
        self.n_batch: int = lib.llama_n_batch(handle)
        self.n_seq_max = n_seq_max
        self.n_threads: int = lib.llama_n_threads(handle)
        self.n_threads_batch: int = lib.llama_n_threads_batch(handle)
        self._batch = lib.llama_batch_init(self.n_batch, 0, 1)
        for index in range(self.n_batch):
            self._batch.n_seq_id[index] = 1

    def decode(self, parts: Sequence[BatchPart]) -> int:
        """Run one step.

        Returns:
            `DECODE_OK`, or `DECODE_NO_KV_SLOT` when the KV cache has no room (nothing changed).

        Raises:
            DecodeFailed: llama.cpp reported a fatal error.
        """
        batch = self._batch
        token, position, seq_id, logits = batch.token, batch.pos, batch.seq_id, batch.logits
        index = 0
        for part in parts:
            at = part.start
            for value in part.tokens:
                token[index] = value
                position[index] = at
                seq_id[index][0] = part.seq_id
                logits[index] = 0
                index += 1
                at += 1
            if part.wants_logits:
                logits[index - 1] = 1
        batch.n_tokens = index
        code: int = lib.llama_decode(self.handle, batch)
        if code in (DECODE_OK, DECODE_NO_KV_SLOT):
            return code
        raise DecodeFailed(f"llama_decode returned {code}")

    def keep_prefix(self, seq_id: int, n_keep: int) -> int:
        """Drop all tokens of a sequence from `n_keep` on.

        Returns:
            The tokens really kept: 0 where the model's memory cannot be cut there.
        """
        if n_keep <= 0:
            self.clear(seq_id)
            return 0
        oldest = lib.llama_memory_seq_pos_min(self._memory, seq_id)
        window_lost = self._n_swa > 0 and oldest > max(0, n_keep - self._n_swa)
        if window_lost or not lib.llama_memory_seq_rm(self._memory, seq_id, n_keep, -1):
            self.clear(seq_id)
            return 0
        return n_keep

    def copy_prefix(self, source: int, target: int, n_keep: int) -> int:
        """Let an empty sequence share the first `n_keep` tokens of another.

        Returns:
            The tokens really shared: 0 where the model's memory cannot be cut there.
        """
        self.clear(target)
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        return self.keep_prefix(target, n_keep)

    def clear(self, seq_id: int) -> None:
        """Forget a sequence."""
        lib.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def close(self) -> None:
        """Give the batch and the context back."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self.handle)


class Sampler:
    """A chain of llama.cpp samplers with its own random state and token history."""

    def __init__(self, stages: Sequence[Stage], model: Model):
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for stage in stages:
            lib.llama_sampler_chain_add(self._chain, self._make(stage, model))

    def _make(self, stage: Stage, model: Model) -> Any:
        if stage.name == "penalties":
            return lib.llama_sampler_init_penalties(model.n_vocab, *stage.values)
        if stage.name == "logit_bias":
            biases = [lib.llama_logit_bias(*pair) for pair in stage.biases]
            array = (lib.llama_logit_bias * len(biases))(*biases)
            return lib.llama_sampler_init_logit_bias(model.n_vocab, len(biases), array)
        make: Callable[..., Any] = getattr(lib, f"llama_sampler_init_{stage.name}")
        return make(*stage.values)

    def sample(self, context: Context, output: int) -> int:
        """Choose the next token from the `output`-th row of the last step's logits."""
        token: int = lib.llama_sampler_sample(self._chain, context.handle, output)
        return token

    def accept(self, tokens: Iterable[int]) -> None:
        """Put tokens into the history that penalties look at."""
        for token in tokens:
            lib.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Give the chain back."""
        lib.llama_sampler_free(self._chain)
