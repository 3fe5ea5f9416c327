"""Models with weights, made here, take what `app.host.memory_estimate` says, or up to 15 % less.

`tests/host/test_memory_of_shapes.py` does the same for many more shapes, without weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.engine.llama import Context, Model, route_logs
from app.host import memory_estimate
from app.models.facts import ModelFacts
from app.models.headers import HeaderCache
from app.protocol import LoadParams
from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.random_model import shape

MIB = 1024 * 1024
CACHES = re.compile(r"(?:KV|RS) buffer size = +([\d.]+) MiB")
REST = re.compile(r"(?:compute|output) buffer size = +([\d.]+) MiB")

SETTINGS: list[tuple[dict[str, Any], int]] = [
    ({"n_ctx": 4096}, 5),
    ({"n_ctx": 16_384}, 2),
    ({"n_ctx": 8192, "n_ubatch": 128}, 9),
    ({"n_ctx": 4096, "n_batch": 1024, "n_ubatch": 1024}, 2),
    ({"n_ctx": 4096, "type_k": "q8_0", "type_v": "q8_0"}, 5),
    ({"n_ctx": 2048, "flash_attn": False}, 3),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_llama_cpp_allocates_is_estimated(name: str, tmp_path: Path) -> None:
    path = shape(name, tmp_path / "made.gguf", n_embd=512, n_head=8, n_ff=1536)
    facts = HeaderCache().read(path).facts
    assert isinstance(facts, ModelFacts)
    lines: list[str] = []
    route_logs(lambda _level, text: lines.append(text))
    model = Model(path, LoadParams(), lambda _fraction: None)
    size = path.stat().st_size
    for changes, n_seq_max in SETTINGS:
        params = msgspec.structs.replace(LoadParams(), **changes)
        lines.clear()
        Context(
            model,
            params,
            n_seq_max=n_seq_max,
            n_threads=1,
            n_more_outputs=MAX_DRAFT_TOKENS,
            n_rollback=model.n_rollback,
        ).close()
        found = memory_estimate.estimate(facts, size, params, n_seq_max)
        caches, rest = summed(CACHES, lines), summed(REST, lines)
        assert found.kv_bytes == pytest.approx(caches, abs=0.03 * MIB), changes
        allocated = size + caches + rest
        assert allocated <= found.bare_bytes <= 1.15 * allocated, changes
    route_logs(lambda _level, _text: None)


def summed(pattern: re.Pattern[str], lines: list[str]) -> float:
    return MIB * sum(float(match[1]) for line in lines if (match := pattern.search(line)))
