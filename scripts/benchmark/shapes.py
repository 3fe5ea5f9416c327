"""Owns the shapes of benchmark models: their widths, layers and the names of their tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A model of the Qwen2 architecture with tied embeddings.

    Attributes:
        n_embd: width of the residual stream.
        n_ff: width of the feed-forward layer.
        n_vocab: tokens in the vocabulary, padding included.
    """

    n_embd: int
    n_layer: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int = 32768

    @property
    def n_embd_kv(self) -> int:
        """Width of all keys, or all values, of one token in one layer."""
        return self.n_embd // self.n_head * self.n_head_kv

    @property
    def n_params(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.n_elements for tensor in self.tensors())

    def tensors(self) -> Iterator[TensorSpec]:
        """Yield every tensor in the order of the file. Names: llama.cpp's `llama-arch.cpp`."""
        wide, kv, ff = self.n_embd, self.n_embd_kv, self.n_ff
        yield TensorSpec("token_embd.weight", (self.n_vocab, wide))
        yield TensorSpec("output_norm.weight", (wide,), is_norm=True)
        for layer in range(self.n_layer):
            block = f"blk.{layer}."
            yield TensorSpec(block + "attn_norm.weight", (wide,), is_norm=True)
            for name, rows in (("attn_q", wide), ("attn_k", kv), ("attn_v", kv)):
                yield TensorSpec(f"{block}{name}.weight", (rows, wide))
                yield TensorSpec(f"{block}{name}.bias", (rows,))
            yield TensorSpec(block + "attn_output.weight", (wide, wide))
            yield TensorSpec(block + "ffn_norm.weight", (wide,), is_norm=True)
            yield TensorSpec(block + "ffn_gate.weight", (ff, wide))
            yield TensorSpec(block + "ffn_up.weight", (ff, wide))
            yield TensorSpec(block + "ffn_down.weight", (wide, ff))


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name and its shape, rows first (the slowest dimension first)."""

    name: str
    shape: tuple[int, ...]
    is_norm: bool = False

    @property
    def n_elements(self) -> int:
        """Numbers in the tensor."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def is_matrix(self) -> bool:
        """Matrices are stored as f16 and quantised; vectors stay f32."""
        return len(self.shape) > 1


SHAPES = {
    "tiny": Shape(n_embd=256, n_layer=2, n_head=4, n_head_kv=2, n_ff=512, n_vocab=8192),
    "0.5b": Shape(n_embd=896, n_layer=24, n_head=14, n_head_kv=2, n_ff=4864, n_vocab=151936),
    "1.5b": Shape(n_embd=1536, n_layer=28, n_head=12, n_head_kv=2, n_ff=8960, n_vocab=151936),
}
