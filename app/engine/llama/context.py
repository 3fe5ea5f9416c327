"""Owns a llama.cpp context: the KV cache of all sequences and the batch that fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.llama.bindings import lib
from app.engine.llama.library import because, forget_errors
from app.engine.llama.model import Model
from app.engine.llama.sequence_states import SequenceStates
from app.engine.llama.state_probe import probe
from app.engine.system.threads import usable_threads
from app.errors import ModelLoadFailed
from app.parameters.cache_types import GGML_TYPES
from app.protocol import LoadParams

_FLASH_ATTN = {None: -1, False: 0, True: 1}


_NEVER = lib.ggml_abort_callback()

DECODE_OK = 0
DECODE_NO_KV_SLOT = 1
DECODE_ABORTED = 2


class DecodeFailed(RuntimeError):
    """`llama_decode` returned a negative code; the context is not to be used again."""


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Consecutive tokens of one sequence in a step.

    Args:
        seq_id: the sequence they belong to.
        start: position of the first one.
        tokens: their ids.
        n_logits: how many of the last ones are to be sampled from.
    """

    seq_id: int
    start: int
    tokens: Sequence[int]
    n_logits: int


class Context(SequenceStates):
    """A llama.cpp context: the KV cache of all sequences and the batch that fills it.

    Args:
        model: what it runs.
        params: its size and types.
        n_seq_max: sequences in the KV cache.
        n_threads: to compute with, unless `params` says; never more than there are processors.
        n_more_outputs: rows of logits a step may have besides one for each sequence.
        n_rollback: how many tokens of a step recurrent layers can go back, where there are any.
        swa_full: whether layers with a sliding window get room for `n_ctx` tokens, not only for
            what the windows of all sequences and one step need.

    Attributes:
        spare: the last sequence; no request uses it.
    """

    def __init__(
        self,
        model: Model,
        params: LoadParams,
        *,
        n_seq_max: int,
        n_threads: int,
        n_more_outputs: int = 0,
        n_rollback: int = 0,
        swa_full: bool = False,
    ) -> None:
        raw = lib.llama_context_default_params()
        raw.n_ctx = params.n_ctx
        raw.n_batch = min(params.n_batch, params.n_ctx)
        raw.n_ubatch = min(params.n_ubatch, raw.n_batch)
        raw.n_seq_max = n_seq_max
        raw.n_rs_seq = n_rollback
        raw.n_outputs_max = n_seq_max + n_more_outputs
        wanted, wanted_batch = map(usable_threads, (params.n_threads, params.n_threads_batch))
        raw.n_threads = wanted or n_threads
        raw.n_threads_batch = wanted_batch or wanted or n_threads
        raw.flash_attn_type = _FLASH_ATTN[params.flash_attn]
        raw.rope_freq_base = params.rope_freq_base or 0.0
        raw.rope_freq_scale = params.rope_freq_scale or 0.0
        raw.type_k = GGML_TYPES[params.type_k]
        raw.type_v = GGML_TYPES[params.type_v]
        raw.kv_unified = True
        raw.swa_full = swa_full
        raw.no_perf = True
        forget_errors()
        handle = lib.llama_init_from_model(model.handle, raw)
        if not handle:
            raise ModelLoadFailed(
                "llama.cpp could not make a context with these settings "
                f"(n_ctx {params.n_ctx}, type_k {params.type_k}, type_v {params.type_v})"
                f"{because()}"
            )
        super().__init__(handle)
        self._n_swa = model.n_swa
        self._n_vocab = model.n_vocab
        self._n_rollback = n_rollback
        self.n_ctx: int = lib.llama_n_ctx(handle)
        self.n_batch: int = lib.llama_n_batch(handle)
        self.n_ubatch: int = lib.llama_n_ubatch(handle)
        self.n_seq_max = n_seq_max
        self.spare = n_seq_max - 1
        self.n_threads: int = lib.llama_n_threads(handle)
        self.n_threads_batch: int = lib.llama_n_threads_batch(handle)
        self._batch = lib.llama_batch_init(self.n_batch, 0, 1)
        for index in range(self.n_batch):
            self._batch.n_seq_id[index] = 1

    def decode(
        self, parts: Sequence[BatchPart], should_abort: Callable[[], bool] | None = None
    ) -> int:
        """Run one step.

        Args:
            parts: what to decode.
            should_abort: asked between any two operations of the step, hundreds of times; it
                must not raise. True ends the step.

        Returns:
            `DECODE_OK`; `DECODE_NO_KV_SLOT` when the KV cache has no room (nothing changed);
            `DECODE_ABORTED` when the step was aborted: the sequences hold what `n_held` says.

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
            for row in range(index - part.n_logits, index):
                logits[row] = 1
        batch.n_tokens = index
        if should_abort is None:
            code: int = lib.llama_decode(self.handle, batch)
        else:
            callback = lib.ggml_abort_callback(lambda _: should_abort())
            lib.llama_set_abort_callback(self.handle, callback, None)
            code = lib.llama_decode(self.handle, batch)
            lib.llama_set_abort_callback(self.handle, _NEVER, None)
        if code in (DECODE_OK, DECODE_NO_KV_SLOT, DECODE_ABORTED):
            return code
        raise DecodeFailed(f"llama_decode returned {code}")

    def logits(self, output: int) -> npt.NDArray[np.float32]:
        """Return the `output`-th row of the last step's logits; it is llama.cpp's until the next.

        Samplers work on a copy of it.
        """
        row = lib.llama_get_logits_ith(self.handle, output)
        return np.ctypeslib.as_array(row, (self._n_vocab,))

    def forbid(self, output: int, tokens: npt.NDArray[np.bool_]) -> None:
        """Mask tokens in the `output`-th row of the last step's logits.

        Args:
            tokens: a truth value for each of the vocabulary.
        """
        self.logits(output)[tokens] = -np.inf

    def n_held(self, seq_id: int) -> int:
        """Return how many tokens a sequence holds.

        After an aborted step these are whole physical batches (`n_ubatch` tokens of the step, in
        its order): llama.cpp removes the one that was not finished.
        """
        n_held: int = 1 + lib.llama_memory_seq_pos_max(self._memory, seq_id)
        return n_held

    def keep_prefix(self, seq_id: int, n_keep: int) -> int:
        """Drop all tokens of a sequence from `n_keep` on.

        Returns:
            The tokens really kept: 0 where the model's memory cannot be cut there.
        """
        n_held = self.n_held(seq_id)
        if n_keep > 0 and n_held == n_keep:
            return n_keep
        # with a way back, states may be of older steps
        can_cut = 0 < n_keep < n_held and not self._n_rollback
        if can_cut and self._cut(seq_id, n_keep) and self._has_window(seq_id, n_keep):
            return n_keep
        self.clear(seq_id)
        return 0

    def drop_drafts(self, seq_id: int, n_keep: int) -> int:
        """Drop the tokens from `n_keep` on, all of them of the last step, which had one before.

        Returns:
            The tokens really kept: 0 where they cannot be dropped.
        """
        if not self._n_rollback:
            return self.keep_prefix(seq_id, n_keep)
        if self._cut(seq_id, n_keep) and self._rewrite(seq_id):
            return n_keep
        self.clear(seq_id)
        return 0

    def _cut(self, seq_id: int, n_keep: int) -> bool:
        return bool(lib.llama_memory_seq_rm(self._memory, seq_id, n_keep, -1))

    def _has_window(self, seq_id: int, n_tokens: int) -> bool:
        """Whether layers with a sliding window still have all that the window reaches.

        llama.cpp reuses cells that have left the window in any order, so the size of their state
        tells it, and the oldest position does not.
        """
        return not self._n_swa or self.n_window_rows(seq_id) >= min(n_tokens, self._n_swa - 1)

    def copy_prefix(self, source: int, target: int, n_keep: int) -> int:
        """Let an empty sequence share the first `n_keep` tokens of another.

        Returns:
            The tokens really shared: 0 where the model's memory cannot be cut there.
        """
        self.clear(target)
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        n_kept = self.keep_prefix(target, n_keep)
        return n_kept if self._own_window(target) else 0

    def _own_window(self, seq_id: int) -> bool:
        """Let a sequence share no cells of layers with a sliding window; False if it was cleared.

        llama.cpp reuses cells that have left the window only where one sequence holds them; shared
        ones would fill these layers, which have room for the windows alone.
        """
        if not self._n_swa or self._rewrite(seq_id):
            return True
        self.clear(seq_id)
        return False

    def _rewrite(self, seq_id: int) -> bool:
        """Write back the state of all layers but those that see everything, into own cells.

        llama.cpp goes back to an earlier recurrent state at the sequence's next step only, and
        copies know nothing of it; what is read is the earlier state, and is there at once.
        """
        state = self.read_state(seq_id, partial=True)
        return state is not None and self.write_state(seq_id, state, partial=True)

    def learn_layout(self, token: int) -> None:
        """Learn what a state looks like from that of one token; all sequences must be empty.

        The token is decoded; its logits remain, and the sequences are empty again.

        Raises:
            DecodeFailed: llama.cpp reported a fatal error.
        """
        if self.decode([BatchPart(self.spare, 0, [token], n_logits=1)]) != DECODE_OK:
            raise DecodeFailed("the first token could not be decoded")
        try:
            if self.spare == 0:
                raise ValueError("there is no second sequence")
            self.layout = probe(self, self.spare, 0, self._n_swa)
            self.layout_error = ""
        except (ValueError, MemoryError) as error:
            self.layout_error = str(error) or "there is no memory for it"
        self.clear(self.spare)

    def close(self) -> None:
        """Free the batch and the context."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self.handle)
