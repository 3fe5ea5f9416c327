"""Owns what stands for llama.cpp: a KV cache of few cells, and a sampler that sees all of it."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.chat.parsing.stream_parser import PlainParser, StreamParser
from app.engine.kv.state_shape import StateShape
from app.engine.llama import DECODE_ABORTED, DECODE_NO_KV_SLOT, DECODE_OK, BatchPart
from app.engine.prompt.builder import Prompt
from app.engine.prompt.conversation import read_conversation
from app.engine.prompt.generated_turns import GeneratedTurns
from app.protocol import (
    CountTokens,
    Generate,
    Prefill,
)

END = 0
N_VOCAB = 12
MANY_STEPS = 20_000
MANY_MOMENTS = 50


FORGETFUL = 1000


def next_token(seed: int, history: Sequence[int]) -> int:
    """The model: any token anywhere before changes what comes next.

    With seeds from `FORGETFUL` on only the last two do, so that answers go round in circles.
    """
    if seed >= FORGETFUL:
        history = history[-2:]
    return zlib.crc32(bytes([seed % 256, *history])) % N_VOCAB


def solo(prompt: list[int], seed: int, max_new: int) -> list[int]:
    """Return the answer that a request gets when it is alone in the world."""
    tokens: list[int] = []
    while len(tokens) < max_new and END not in tokens:
        tokens.append(next_token(seed, [*prompt, *tokens]))
    return tokens


def followers(token: int) -> list[int]:
    """Return what the grammar of `Follower` forces after a token."""
    return [1 + token % 3] * (token % 5) if token >= 6 else []


class Follower:
    """A grammar that admits any token and forces some after large ones."""

    error = ""
    is_over = False

    def __init__(self) -> None:
        self._last = 0

    def copy(self) -> Follower:
        return Follower()

    def mask(self) -> bytes:
        return b"\xff\xff"

    def take(self, token: int) -> None:
        self._last = token

    def take_text(self, data: bytes) -> bool:
        raise AssertionError("there are no tags")

    def take_forced(self) -> list[int]:
        return followers(self._last)

    def n_allowed(self, tokens: Sequence[int]) -> int:
        return len(tokens)


class Troubled(Follower):
    """A grammar that forces a token after each, until it is too much."""

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self._n_left = n_tokens

    def copy(self) -> Troubled:
        return Troubled(self._n_left)

    def take_forced(self) -> list[int]:
        self._n_left -= 1
        self.error = "" if self._n_left > 0 else "too much"
        return [1]


def solo_followed(prompt: list[int], seed: int, max_new: int) -> list[int]:
    """Return the answer that a request held to `Follower` gets when it is alone."""
    tokens: list[int] = []
    while len(tokens) < max_new and END not in tokens:
        token = next_token(seed, [*prompt, *tokens])
        tokens += [token, *followers(token)]
    return tokens[:max_new]


def shown(tokens: list[int]) -> str:
    return "".join(chr(ord("a") + token) for token in tokens if token != END)


# ---------------------------------------------------------------- in the place of llama.cpp


@dataclass(slots=True, eq=False)
class Cell:
    """A place of the KV cache; several sequences may share it.

    Args:
        in_window: whether the layers with a window have it too.
    """

    token: int
    in_window: bool = True


@dataclass(frozen=True, slots=True)
class Parts:
    """What a saved part of a sequence consists of: a byte a token, and two bytes in a window."""

    start: int
    rows: npt.NDArray[np.uint8]
    window_start: int
    window_rows: npt.NDArray[np.uint8]
    recurrent: bytes


def state_after(tokens: Sequence[int]) -> bytes:
    """Return the state of recurrent layers after some tokens, which depends on all of them."""
    return hashlib.blake2b(bytes(tokens)).digest()


KINDS: dict[str, dict[str, Any]] = {
    "can be cut": {},
    "slides a window": {"n_window": 8},
    "is recurrent": {"can_cut": False},
    "is both": {"can_cut": False, "n_window": 8},
    "is kept as a whole": {"can_cut": False, "is_whole": True},
}
"""What a model can be whose sequences are kept: arguments of `CellCache` and `shape_of`."""


def shape_of(*, can_cut: bool = True, n_window: int = 0, is_whole: bool = False) -> StateShape:
    """Return what of a state in `CellCache` is kept how."""
    if is_whole:
        return StateShape(0, is_whole=True)
    window_bytes = 2 if n_window else 0
    return StateShape(1, window_bytes, n_window, state_bytes=0 if can_cut else 64)


class CellCache:
    """What the loop needs of a context: `n_cells` cells for all sequences together.

    Args:
        can_cut: whether a sequence may lose its end; a recurrent model's cannot.
        n_vocab: how many tokens there are.
        n_ubatch: tokens of a physical batch; None is all of a step.
        n_window: how many tokens some layers see; 0 where all see everything. What no window
            reaches any more is lost to these layers.
    """

    def __init__(
        self,
        n_cells: int,
        n_batch: int,
        *,
        can_cut: bool = True,
        n_vocab: int = N_VOCAB,
        n_window: int = 0,
        n_ubatch: int | None = None,
    ) -> None:
        self.n_window = n_window
        self.n_ubatch = n_ubatch or n_batch
        self._n_vocab = n_vocab
        self.n_cells = self.n_ctx = n_cells
        self.n_batch = n_batch
        self.can_cut = can_cut
        self.sequences: dict[int, list[Cell]] = defaultdict(list)
        self.rows: dict[int, list[int]] = {}
        self.n_decoded = 0
        self.n_steps = 0
        self.n_full = 0
        self.n_most_rows = 0
        self.n_aborted = 0
        self.in_step = False

    @property
    def n_used(self) -> int:
        return len({cell for cells in self.sequences.values() for cell in cells})

    def tokens(self, seq_id: int) -> list[int]:
        return [cell.token for cell in self.sequences[seq_id]]

    def decode(
        self, parts: Sequence[BatchPart], should_abort: Callable[[], bool] | None = None
    ) -> int:
        n_tokens = sum(len(part.tokens) for part in parts)
        assert 1 <= n_tokens <= self.n_batch
        assert all(part.tokens for part in parts)
        assert len({part.seq_id for part in parts}) == len(parts)
        for part in parts:
            assert part.start == len(self.sequences[part.seq_id]), "positions must not jump"
        if self.n_used + n_tokens > self.n_cells:
            self.n_full += 1
            return DECODE_NO_KV_SLOT
        if should_abort is not None and self._is_aborted(parts, should_abort):
            return DECODE_ABORTED
        self.rows = {}
        row = -1
        for part in parts:
            self._check_window(part)
            self.sequences[part.seq_id] += map(Cell, part.tokens)
            self._slide(part.seq_id, n_rejectable=part.n_logits - 1)
            row += len(part.tokens)
            known = self.tokens(part.seq_id)
            for n_left in range(part.n_logits):
                self.rows[row - n_left] = known[: len(known) - n_left]
        self.n_most_rows = max(self.n_most_rows, len(self.rows))
        self.n_decoded += n_tokens
        self.n_steps += 1
        return DECODE_OK

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Return a row of the step: that a token comes twice is the likeliest."""
        logits = np.zeros(self._n_vocab, np.float32)
        logits[self.rows[row][-1]] = 1.0
        return logits

    def _is_aborted(self, parts: Sequence[BatchPart], should_abort: Callable[[], bool]) -> bool:
        """Ask in the last physical batch of the step; an aborted one is removed."""
        assert self.can_cut, "nothing could be undone"
        for part in parts:
            self.sequences[part.seq_id] += map(Cell, part.tokens)
        self.in_step = True
        is_aborted = should_abort()
        self.in_step = False
        if is_aborted:
            self.n_aborted += 1
        n_tokens = sum(len(part.tokens) for part in parts)
        n_left = (n_tokens - 1) // self.n_ubatch * self.n_ubatch if is_aborted else 0
        for part in parts:
            n_whole = min(n_left, len(part.tokens))
            n_left -= n_whole
            del self.sequences[part.seq_id][part.start + n_whole :]
            self._slide(part.seq_id)
        return is_aborted

    def _check_window(self, part: BatchPart) -> None:
        held = self.sequences[part.seq_id]
        reached = held[max(0, len(held) - self.n_window) :] if self.n_window else []
        assert all(cell.in_window for cell in reached), "window rows are missing"

    def _slide(self, seq_id: int, n_rejectable: int = 0) -> None:
        """Let the layers with a window forget what is out of reach of its only sequence.

        Args:
            seq_id: the sequence.
            n_rejectable: draft tokens at its end; what they do not reach was not reused yet.
        """
        if self.n_window:
            others = {
                cell for other, held in self.sequences.items() if other != seq_id for cell in held
            }
            for cell in self.sequences[seq_id][: -self.n_window - max(0, n_rejectable)]:
                cell.in_window = cell.in_window and cell in others

    def n_held(self, seq_id: int) -> int:
        return len(self.sequences[seq_id])

    def keep_prefix(self, seq_id: int, n_keep: int) -> int:
        held = self.sequences[seq_id]
        assert n_keep <= len(held), "only what is there can be kept"
        reached = held[max(0, n_keep - self.n_window) : n_keep] if self.n_window else []
        is_cut = n_keep < len(held)
        if is_cut and (not self.can_cut or not all(cell.in_window for cell in reached)):
            n_keep = 0
        self.sequences[seq_id] = held[:n_keep]
        return n_keep

    def drop_drafts(self, seq_id: int, n_keep: int) -> int:
        return self.keep_prefix(seq_id, n_keep)

    def copy_prefix(self, source: int, target: int, n_keep: int) -> int:
        self.sequences[target] = list(self.sequences[source])
        return self.keep_prefix(target, n_keep)

    def clear(self, seq_id: int) -> None:
        self.sequences[seq_id] = []

    def state_bytes(self, seq_id: int) -> int:
        return len(self.sequences[seq_id])

    def save_state(self, seq_id: int) -> bytearray:
        return bytearray(self.tokens(seq_id))

    def load_state(self, seq_id: int, state: bytearray, n_tokens: int) -> bool:
        assert not self.sequences[seq_id], "a state needs a clear sequence"
        assert len(state) == n_tokens, "a state of these tokens"
        if self.n_used + len(state) > self.n_cells:
            return False
        self.sequences[seq_id] = [Cell(token) for token in state]
        return True

    def save_range(
        self, seq_id: int, spare: int, start: int, end: int, *, with_recurrent: bool
    ) -> Parts | None:
        assert not self.sequences[spare], "the spare sequence is clear"
        held = self.sequences[seq_id]
        assert 0 <= start <= end <= len(held)
        if not self.can_cut:
            assert not with_recurrent or end == len(held), "a state is that of a sequence's end"
        window_start = end
        while self.n_window and window_start > max(start, end - self.n_window):
            if not held[window_start - 1].in_window:
                break
            window_start -= 1
        tokens = self.tokens(seq_id)
        return Parts(
            start,
            np.array(tokens[start:end], np.uint8).reshape(-1, 1),
            window_start,
            np.repeat(np.array(tokens[window_start:end], np.uint8), 2).reshape(-1, 2),
            state_after(tokens) if with_recurrent else b"",
        )

    def save_recurrent(self, seq_id: int) -> bytes:
        return state_after(self.tokens(seq_id))

    def load_parts(
        self,
        seq_id: int,
        n_tokens: int,
        rows: Sequence[npt.NDArray[np.uint8]],
        window_rows: Sequence[npt.NDArray[np.uint8]],
        recurrent: bytes,
    ) -> bool:
        assert not self.sequences[seq_id], "parts need a clear sequence"
        tokens = [int(row[0]) for part in rows for row in part]
        windows = [int(row[0]) for part in window_rows for row in part]
        assert len(tokens) == n_tokens, "the rows of these tokens"
        assert self.can_cut or recurrent == state_after(tokens), "the state after these tokens"
        if self.n_window:
            assert windows == tokens[-len(windows) :], "window rows of the last tokens"
            assert len(windows) >= min(self.n_window, n_tokens), "all that the window reaches"
        if self.n_used + n_tokens > self.n_cells:
            return False
        n_before = n_tokens - len(windows) if self.n_window else 0
        self.sequences[seq_id] = [Cell(t, at >= n_before) for at, t in enumerate(tokens)]
        return True


class HistorySampler:
    """Chooses by `next_token`; belongs to one request."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.n_closed = 0

    def sample(self, context: Any, row: int, allowed: bytes | None = None) -> int:
        assert not self.n_closed
        return next_token(self._seed, context.rows[row])

    def accept(self, tokens: Iterable[int]) -> None:
        assert not self.n_closed

    def draw(self, n_times: int) -> None:
        assert not self.n_closed

    def close(self) -> None:
        self.n_closed += 1


class NoPrototypes:
    """There are no samplers to be copied."""

    def __init__(self) -> None:
        self.n_forgotten = 0

    def forget(self) -> None:
        self.n_forgotten += 1


class LetterModel:
    """Each token is a letter."""

    n_vocab = N_VOCAB

    def __init__(self, *, is_recurrent: bool) -> None:
        self.is_recurrent = is_recurrent
        self.dry = NoPrototypes()

    def is_end(self, token: int) -> bool:
        return token == END

    def piece(self, token: int) -> bytes:
        return shown([token]).encode()

    def shown_piece(self, token: int) -> bytes:
        return b"." if token == END else self.piece(token)

    def detokenize(self, tokens: list[int]) -> str:
        return b"".join(map(self.shown_piece, tokens)).decode()


def tokens_of(command: Generate | Prefill | CountTokens) -> list[int]:
    """Return the tokens that a test's conversation consists of."""
    return list(read_conversation(command).messages[0]["content"])


class TokenPrompts:
    """A conversation is one message whose content is the prompt's tokens; marks count these.

    A raw prompt has token ids.
    """

    def __init__(self) -> None:
        self.turns = GeneratedTurns(str)
        self.n_forgotten = 0

    def build(self, command: Generate | Prefill) -> Prompt:
        if isinstance(command, Generate) and command.prompt is not None:
            return Prompt(list(command.prompt.tokens or ()), "", 0)
        tokens = tokens_of(command)
        asked = command.cache_marks if isinstance(command, Generate) else []
        marks = tuple(mark.messages for mark in asked)
        n_system = len(tokens) // 2
        return Prompt(tokens, shown(tokens), n_system=n_system, places=marks, marks=marks)

    def forget(self) -> None:
        self.n_forgotten += 1

    def count(self, command: CountTokens) -> int:
        return len(tokens_of(command))

    def parser(self, command: Generate, prompt: Prompt) -> StreamParser:
        return PlainParser()
