"""Owns the parameters of a load: the defaults are settings, `load_model_configs` overrides them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from app.parameters.cache_types import CacheType
from app.parameters.row import Group
from app.parameters.sampling import MAX_SEED

row = Group("Loading a model", "next load", given_by={"setting", "load"})


class LoadParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to load a model.

    `None` leaves the choice to the engine (threads), to the model file (rope, template) or to what
    the template shows (tool format). `system_prompt` stands in the settings beside a model file
    only: instructions for conversations that begin without any.
    """

    n_ctx: Annotated[
        int, row("context window in tokens, lowered to what fits", clamps=True, ge=256, le=2**24)
    ] = 4096
    n_gpu_layers: Annotated[int, row("layers to offload to the GPU; -1 is all", ge=-1, le=9999)] = 0
    n_batch: Annotated[int, row("logical batch size: tokens per decode call", ge=32, le=8192)] = 512
    n_ubatch: Annotated[
        int, row("physical batch size: tokens per compute step", ge=32, le=8192)
    ] = 512
    n_threads: (
        Annotated[int, row("threads for decode", auto="chosen by the engine", ge=1, le=1024)] | None
    ) = None
    n_threads_batch: (
        Annotated[int, row("threads for prefill", auto="chosen by the engine", ge=1, le=1024)]
        | None
    ) = None
    use_mmap: Annotated[bool, row("memory-map the model file")] = True
    use_mlock: Annotated[bool, row("lock the model in RAM")] = False
    flash_attn: Annotated[bool, row("use flash attention", auto="llama.cpp decides")] | None = None
    type_k: Annotated[CacheType, row("data type of keys in the KV cache")] = "f16"
    type_v: Annotated[CacheType, row("data type of values in the KV cache")] = "f16"
    rope_freq_base: (
        Annotated[float, row("RoPE base frequency", auto="the model's own", gt=0)] | None
    ) = None
    rope_freq_scale: (
        Annotated[float, row("RoPE frequency scale", auto="the model's own", gt=0)] | None
    ) = None
    seed: (
        Annotated[
            int,
            row(
                "seed of requests that name none, in place of the setting; -1 is random",
                given_by={"load"},
                ge=-1,
                le=MAX_SEED,
            ),
        ]
        | None
    ) = None
    verbose: Annotated[bool, row("log everything that llama.cpp reports")] = False
    chat_template: (
        Annotated[
            str,
            row(
                "chat template (Jinja source)",
                auto="the model's own",
                min_length=1,
                max_length=2**20,
            ),
        ]
        | None
    ) = None
    tool_format: (
        Annotated[
            str,
            row(
                "format of tool calls",
                auto="detected from the chat template",
                min_length=1,
                max_length=64,
            ),
        ]
        | None
    ) = None
    special_tokens_in_content: Annotated[
        Literal["text", "control"],
        row(
            "what the text of a control token is in tools and in messages other than instructions: "
            "`control` lets it end a turn"
        ),
    ] = "text"
    system_prompt: str = ""
