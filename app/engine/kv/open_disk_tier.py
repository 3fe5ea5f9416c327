"""Owns the start of the disk tier: which entries a context can use, and what was said in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from app.engine.kv.disk_tier import Disk, DiskCacheTier, LogBuffer
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Model, build_version
from app.engine.prompt.generated_turns import GeneratedTurns, from_bytes, to_bytes
from app.engine.system.file_digest import file_digest
from app.promptcache import MAX_EXTRA_BYTES, DiskStore, DiskWriter
from app.protocol import Load, LoadParams

_MIB = 1024 * 1024
_MAX_TURNS = 64
_MAX_WAITING_BYTES = 64 * _MIB
_STATE_PARAMS = ("flash_attn", "type_k", "type_v", "rope_freq_base", "rope_freq_scale")


def open_disk(
    command: Load,
    model: Model,
    shape: StateShape,
    turns: GeneratedTurns,
    *,
    is_busy: Callable[[], bool],
) -> DiskCacheTier:
    """Return the disk tier of a model, and let `turns` know the answers that are in it.

    Args:
        shape: what of the model's state is kept how.
        is_busy: whether requests run now, so that writing has to keep out of their way.
    """
    cache, path = command.cache, Path(command.model_path)
    if not cache.folder or not cache.disk_cache_mb:
        return DiskCacheTier(trouble=cache.refused)
    log = LogBuffer()
    store = DiskStore(
        Path(cache.folder),
        path.name,
        fingerprint(path, model, shape, command.params),
        capacity_bytes=cache.disk_cache_mb * _MIB,
        daily_write_bytes=cache.disk_daily_write_mb * _MIB,
        can_cut=False,
        row_bytes=(shape.token_bytes, shape.window_token_bytes),
        notify=log.add,
    )
    writer = DiskWriter(
        store, is_busy=is_busy, notify=log.add, max_pending_bytes=_MAX_WAITING_BYTES
    )
    for tokens, extra in reversed(store.extras(_MAX_TURNS)):
        turn = from_bytes(extra, tokens)
        if turn is not None:
            turns.remember(turn)
    return DiskCacheTier(
        Disk(store, writer), shape, log=log, extra_of=lambda tokens: _extra(turns, tokens)
    )


def fingerprint(path: Path, model: Model, shape: StateShape, params: LoadParams) -> str:
    """Return what has to be equal for a state to fit: the model, the build, the KV cache.

    The context's size counts only where a model has two sets of rope factors to choose from.
    """
    chosen = {name: getattr(params, name) for name in _STATE_PARAMS}
    n_short = model.n_ctx_short_rope
    has_long_rope = n_short is not None and params.n_ctx > n_short
    changed_ns = path.stat().st_mtime_ns
    kept = (shape.token_bytes, shape.window_token_bytes, shape.is_whole)
    parts = (file_digest(path), changed_ns, build_version(), chosen, has_long_rope, kept)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _extra(turns: GeneratedTurns, tokens: Sequence[int]) -> bytes:
    turn = turns.with_tokens(tokens)
    record = to_bytes(turn, len(tokens)) if turn else b""
    return record if len(record) <= MAX_EXTRA_BYTES else b""
