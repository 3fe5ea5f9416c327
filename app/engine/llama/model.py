"""Owns a loaded model file and its vocabulary: text to tokens and tokens to bytes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from app.base.special_token import Newline, SpecialToken, SplitRules
from app.engine.llama.bindings import lib
from app.engine.llama.dry import DryPrototypes
from app.engine.llama.library import because, forget_errors
from app.errors import ModelLoadFailed
from app.parameters.rollback import n_rollback
from app.protocol import LoadParams

# Pre-tokenisers of byte-level BPE; these take newlines and letters for different words.
_NEWLINES: dict[str, Newline] = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "lfm2", "qwen2", "qwen35"), "any"),
    **dict.fromkeys(("gpt-2", "smollm", "refact", "starcoder"), "single"),
}
_UNKNOWN = 1 << 0
_CONTROL = 1 << 3
_USER_DEFINED = 1 << 4
_LSTRIP = 1 << 7
_RSTRIP = 1 << 8


class Model:
    """A loaded GGUF file and its vocabulary.

    Args:
        path: the file.
        params: how to load it.
        on_progress: gets the share of the weights that is loaded.
        vocab_only: leave the weights out; such a model only tokenizes.

    Raises:
        ModelLoadFailed: llama.cpp refused the file.
    """

    def __init__(
        self,
        path: Path,
        params: LoadParams,
        on_progress: Callable[[float], None],
        *,
        vocab_only: bool = False,
    ) -> None:
        lib.llama_backend_init()
        raw = lib.llama_model_default_params()
        raw.n_gpu_layers = params.n_gpu_layers
        raw.load_mode = _load_mode(params)
        raw.vocab_only = vocab_only

        def report(fraction: float, _user_data: Any) -> bool:
            on_progress(fraction)
            return True

        raw.progress_callback = lib.llama_progress_callback(report)
        forget_errors()
        handle = lib.llama_model_load_from_file(os.fsencode(path), raw)
        if not handle:
            why = because().replace(str(path), path.name)  # clients see it
            raise ModelLoadFailed(f"llama.cpp could not load '{path.name}'{why}")
        self.handle: Any = handle
        self._vocab: Any = lib.llama_model_get_vocab(handle)
        self.dry = DryPrototypes(self._vocab)
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
        self.n_rollback = n_rollback(self._meta("general.architecture"), self.n_swa)
        if not lib.llama_model_has_decoder(handle) or lib.llama_model_has_encoder(handle):
            raise ModelLoadFailed(f"'{path.name}' is not a text-generation model")

    @property
    def description(self) -> str:
        """llama.cpp's own words for the model, such as `qwen3 0.6B Q8_0`."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def n_ctx_short_rope(self) -> int | None:
        """Up to which context the first of two sets of rope factors is used; None without two."""
        name = self._meta("general.architecture")
        length = self._meta(f"{name}.rope.scaling.original_context_length")
        return int(length) if length and length.isdecimal() else None

    def _meta(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size > 0 else ""

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
    def bos_token(self) -> int | None:
        """The beginning-of-sequence token; None where there is none."""
        return lib.llama_vocab_bos(self._vocab) if self.bos_text else None

    @property
    def adds_bos(self) -> bool:
        """Whether `tokenize` writes that token before a text when it adds special ones."""
        return bool(lib.llama_vocab_get_add_bos(self._vocab))

    @property
    def infill_tokens(self) -> tuple[int, int, int] | None:
        """The tokens before the prefix, the suffix and the middle of a text to be filled in."""
        vocab = self._vocab
        prefix, suffix = lib.llama_vocab_fim_pre(vocab), lib.llama_vocab_fim_suf(vocab)
        middle = lib.llama_vocab_fim_mid(vocab)
        return (prefix, suffix, middle) if min(prefix, suffix, middle) >= 0 else None

    @property
    def infill_separators(self) -> tuple[int | None, int | None]:
        """The tokens before the names of a repository and of a file; None for those it lacks."""
        found = lib.llama_vocab_fim_rep(self._vocab), lib.llama_vocab_fim_sep(self._vocab)
        repository, file = (token if token >= 0 else None for token in found)
        return repository, file

    @property
    def end_texts(self) -> tuple[str, ...]:
        """The texts of the tokens that end a sequence and a turn."""
        tokens = (lib.llama_vocab_eos(self._vocab), lib.llama_vocab_eot(self._vocab))
        return tuple(text for token in tokens if (text := self._token_text(token)))

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
        if token < 0 or not lib.llama_vocab_is_control(self._vocab, token):
            return ""  # llama.cpp names an ordinary token where the vocabulary has none
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
            token = self.token_of(text)
            if token is not None:
                self._shown_specials.add(token)
                self._pieces.pop(token, None)

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

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """All tokens that end the generation; the first use looks through the vocabulary."""
        is_end = lib.llama_vocab_is_eog
        return tuple(token for token in range(self.n_vocab) if is_end(self._vocab, token))

    @property
    def native(self) -> tuple[int, int]:
        """Addresses of the vocabulary and of `llama_tokenize`, for libraries that call it."""
        tokenize = ctypes.cast(lib._lib.llama_tokenize, ctypes.c_void_p).value
        return self._vocab, tokenize or 0

    def token_table(self) -> tuple[list[bytes], set[int]]:
        """Return the bytes of every token, and which of them are no text.

        These are control tokens, those with names in angle brackets, and the tags that
        `show_special` was given.
        """
        pieces = [self._render_piece(token, special=True) for token in range(self.n_vocab)]
        specials = set(self._shown_specials)
        for token, piece in enumerate(pieces):
            attributes = lib.llama_vocab_get_attr(self._vocab, token)
            is_named = piece.startswith(b"<") and piece.endswith(b">")
            if attributes & _CONTROL or (attributes & _USER_DEFINED and is_named):
                specials.add(token)
        return pieces, specials

    def special_tokens(self) -> Iterator[SpecialToken]:
        """Return the tokens that `tokenize` writes only with `parse_special`."""
        yield from (token for token in self._split_tokens if not token.is_user_defined)

    def split_tokens(self) -> Iterator[SpecialToken]:
        """Return all tokens that `tokenize` splits a text at before it does anything else.

        The first use looks through the vocabulary: a microsecond a token.
        """
        yield from self._split_tokens

    def split_rules(self) -> SplitRules:
        """Return where `tokenize` splits texts before it merges anything."""
        is_bpe = self._meta("tokenizer.ggml.model") == "gpt2"
        newline = _NEWLINES.get(self._meta("tokenizer.ggml.pre"), "joined") if is_bpe else "joined"
        return SplitRules(self.split_tokens(), newline)

    @cached_property
    def _split_tokens(self) -> tuple[SpecialToken, ...]:
        vocab, found = self._vocab, []
        for token in range(self.n_vocab):
            attributes = lib.llama_vocab_get_attr(vocab, token)
            if attributes & (_CONTROL | _UNKNOWN | _USER_DEFINED):
                text = lib.llama_vocab_get_text(vocab, token).decode("utf-8", "replace")
                strips = bool(attributes & _LSTRIP), bool(attributes & _RSTRIP)
                is_user_defined = not attributes & (_CONTROL | _UNKNOWN)
                found.append(SpecialToken(text, *strips, is_user_defined))
        return tuple(found)

    def token_of(self, text: str) -> int | None:
        """Return the token that a tag is; None where it is several."""
        ids = self.tokenize(text, add_special=False, parse_special=True)
        return ids[0] if len(ids) == 1 else None

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
