"""The cache as `llama_cpp.Llama` sees it: upstream's contract without upstream's faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from llama_cpp.llama_cache import LlamaDiskCache

from app.engine.llama.disk_cache import PromptDiskCache

MODEL = Path("models/distiller-nano-3m-q8_0.gguf")
PROMPT = "You are a helpful assistant on a small device. " * 6
CAPACITY_BYTES = 500_000_000


def make_llama(*, logits_all: bool = False) -> llama_cpp.Llama:
    return llama_cpp.Llama(str(MODEL), n_ctx=512, n_threads=1, verbose=False, logits_all=logits_all)


def make_cache(folder: Path, **options: Any) -> PromptDiskCache:
    return PromptDiskCache(folder, CAPACITY_BYTES, fingerprint="nano", **options)


def complete(llama: llama_cpp.Llama, prompt: str) -> str:
    answer = llama.create_completion(prompt, max_tokens=12, temperature=0.0)
    assert isinstance(answer, dict)
    return answer["choices"][0]["text"]


def made_state(tokens: list[int], **changes: Any) -> llama_cpp.LlamaState:
    parts: dict[str, Any] = {
        "input_ids": np.array([*tokens, 0, 0], dtype=np.intc),
        "scores": np.zeros((len(tokens), 3), dtype=np.single),
        "n_tokens": len(tokens),
        "llama_state": b"llama",
        "llama_state_size": 5,
        "seed": 2**32 - 1,
    }
    return llama_cpp.LlamaState(**parts | changes)


@pytest.fixture
def cache(tmp_path: Path) -> PromptDiskCache:
    return make_cache(tmp_path)


def test_it_is_a_llama_disk_cache_without_a_database(
    cache: PromptDiskCache, tmp_path: Path
) -> None:
    assert isinstance(cache, LlamaDiskCache)
    assert cache.capacity_bytes == CAPACITY_BYTES
    cache[range(40)] = made_state(list(range(40)))
    assert not list(tmp_path.rglob("*.db"))
    assert cache.cache_size == sum(path.stat().st_size for path in tmp_path.rglob("*.kv")) > 0


@pytest.mark.slow
def test_completions_are_the_same_from_the_cache_even_in_a_new_process(tmp_path: Path) -> None:
    questions = ["How warm is it?", "Who are you?"]
    expected = [complete(make_llama(), PROMPT + question) for question in questions]
    llama, cache = make_llama(), make_cache(tmp_path)
    llama.set_cache(cache)
    assert [complete(llama, PROMPT + question) for question in questions] == expected
    assert cache.store.status().n_entries == 2

    llama, cache = make_llama(), make_cache(tmp_path)
    llama.set_cache(cache)
    tokens = llama.tokenize((PROMPT + questions[0]).encode())
    for _ in range(2):
        assert tokens in cache, "looking does not remove"
    state = cache[tokens]
    assert llama_cpp.Llama.longest_token_prefix(state.input_ids.tolist(), tokens) == len(tokens)
    assert [complete(llama, PROMPT + question) for question in questions] == expected
    assert cache.store.status().n_hits == 3


@pytest.mark.parametrize("logits_all", [False, True])
def test_a_state_comes_back_as_it_was(cache: PromptDiskCache, logits_all: bool) -> None:
    llama = make_llama(logits_all=logits_all)
    tokens = llama.tokenize(PROMPT.encode())
    llama.eval(tokens)
    saved = llama.save_state()
    cache[tokens] = saved
    loaded = cache[tokens]
    assert np.array_equal(loaded.input_ids, saved.input_ids)
    assert loaded.scores.tobytes() == saved.scores.tobytes()
    assert (loaded.scores.dtype, loaded.scores.shape) == (saved.scores.dtype, saved.scores.shape)
    assert loaded.llama_state == saved.llama_state
    assert (loaded.n_tokens, loaded.seed, loaded.llama_state_size) == (
        saved.n_tokens,
        saved.seed,
        saved.llama_state_size,
    )
    llama.load_state(loaded)


def test_scores_that_are_zero_take_no_room(cache: PromptDiskCache) -> None:
    scores = np.zeros((100, 10_000), dtype=np.single)
    scores[1, 5] = 2.5
    cache[range(100)] = made_state(list(range(100)), scores=scores)
    assert cache.cache_size < 100_000
    assert np.array_equal(cache[range(100)].scores, scores)


def test_what_is_not_there_is_a_key_error(cache: PromptDiskCache) -> None:
    cache[range(40)] = made_state(list(range(40)))
    assert range(20) not in cache
    with pytest.raises(KeyError):
        cache[range(100, 200)]


def test_the_longest_prefix_wins(cache: PromptDiskCache) -> None:
    cache[range(40)] = made_state(list(range(40)))
    cache[[*range(40), 9]] = made_state([*range(40), 9])
    assert cache[[*range(40), 9, 5]].n_tokens == 41
    assert cache._find_longest_prefix_key([*range(36), 0]) == tuple(range(36))
    assert cache._find_longest_prefix_key([7]) is None


def test_the_capacity_can_be_changed_as_upstream_allows(cache: PromptDiskCache) -> None:
    cache.capacity_bytes = 10
    cache[range(40)] = made_state(list(range(40)))
    assert range(40) not in cache


def test_the_entries_of_the_engine_are_others(cache: PromptDiskCache) -> None:
    cache.store.write(list(range(40)), b"state of a sequence")
    assert range(40) not in cache
    cache[range(40)] = made_state(list(range(40)))
    assert range(40) in cache
    found = cache.store.find(range(40))
    assert found is not None
    snapshot = cache.store.read(found)
    assert snapshot is not None
    assert snapshot.state == b"state of a sequence"


@pytest.mark.parametrize(
    "extra",
    [b"", b"\xc0", b"\x80"],
)
def test_a_state_that_makes_no_sense_is_a_miss(cache: PromptDiskCache, extra: bytes) -> None:
    cache.store.write(list(range(40)), b"state", extra=extra, form="context")
    with pytest.raises(KeyError):
        cache[range(40)]


def test_where_states_cannot_be_cut_nothing_is_replaced(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, can_cut=False)
    cache[range(40)] = made_state(list(range(40)))
    cache[range(50)] = made_state(list(range(50)))
    assert cache[range(45)].n_tokens == 40
    assert range(39) not in cache
