"""Owns the GGUF export: weights at Q8_0, tokenizer, chat template and metadata."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

from .model import Config
from .template import CHAT_TEMPLATE
from .tokenizer import CONTROL, USER_DEFINED

DESCRIPTION = (
    "A tiny assistant for small devices: short answers, stories and tool calls. "
    "Trained from scratch on rule-made English conversations."
)
NAMES = {
    "embed.weight": "token_embd.weight", "norm.weight": "output_norm.weight", "norm1.weight": "attn_norm.weight",
    "norm2.weight": "ffn_norm.weight", "q_norm.weight": "attn_q_norm.weight", "k_norm.weight": "attn_k_norm.weight",
    "q.weight": "attn_q.weight", "k.weight": "attn_k.weight", "v.weight": "attn_v.weight",
    "o.weight": "attn_output.weight", "gate.weight": "ffn_gate.weight", "up.weight": "ffn_up.weight",
    "down.weight": "ffn_down.weight",
}


def _add_model_keys(w: gguf.GGUFWriter, c: Config, parameters: int) -> None:
    w.add_type(gguf.GGUFType.MODEL)
    w.add_name("Distiller Nano")
    w.add_description(DESCRIPTION)
    w.add_license("MIT")
    w.add_size_label(f"{parameters / 1e6:.1f}M")
    w.add_context_length(c.context)
    w.add_embedding_length(c.width)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_rope_freq_base(c.rope_base)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_vocab_size(c.vocab)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokenizer(w: gguf.GGUFWriter, path: Path) -> None:
    spec = json.loads(path.read_text(encoding="utf-8"))
    vocab: dict[str, int] = dict(spec["model"]["vocab"])
    vocab.update({t["content"]: t["id"] for t in spec["added_tokens"]})
    tokens = sorted(vocab, key=lambda t: vocab[t])
    types = []
    for t in tokens:
        if t in CONTROL:
            types.append(gguf.TokenType.CONTROL)
        elif t in USER_DEFINED:
            types.append(gguf.TokenType.USER_DEFINED)
        elif t.startswith("<unused"):
            types.append(gguf.TokenType.UNUSED)
        else:
            types.append(gguf.TokenType.NORMAL)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]])
    w.add_eos_token_id(vocab["<|im_end|>"])
    w.add_eot_token_id(vocab["<|im_end|>"])
    w.add_pad_token_id(vocab["<|endoftext|>"])
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT_TEMPLATE)


def _add_tensors(w: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    for name, value in weights.items():
        data = value.float().numpy().astype(np.float32)
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            target = f"blk.{number}.{NAMES[rest]}"
        else:
            target = NAMES[name]
        if data.ndim == 2 and data.shape[1] % 32 == 0:
            packed = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
            w.add_tensor(target, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            w.add_tensor(target, data)


def export(checkpoint: Path, tokenizer: Path, out: Path, average: bool) -> None:
    """Write the GGUF file of a checkpoint."""
    state = torch.load(checkpoint, weights_only=True)
    writer = gguf.GGUFWriter(str(out), "qwen3")
    weights = state["average" if average else "model"]
    parameters = sum(t.numel() for t in weights.values())
    _add_model_keys(writer, Config(**state["config"]), parameters)
    _add_tokenizer(writer, tokenizer)
    _add_tensors(writer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB, {parameters} parameters, step {state['step']}")


def main() -> None:
    """Parse the command line and export."""
    ap = argparse.ArgumentParser(description="write the GGUF file")
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("tokenizer", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--average", action="store_true", help="use the running average of the weights")
    args = ap.parse_args()
    export(args.checkpoint, args.tokenizer, args.out, args.average)


if __name__ == "__main__":
    main()
