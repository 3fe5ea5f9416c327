"""The made-up vocabulary is one that llama.cpp takes: no token twice, merges of known parts."""

from __future__ import annotations

import pytest

from scripts.benchmark.shapes import SHAPES
from scripts.benchmark.vocabulary import END_OF_TEXT, END_OF_TURN, make_vocabulary

SIZES = sorted({shape.n_vocab for shape in SHAPES.values()} | {259, 300})


@pytest.mark.parametrize("n_vocab", SIZES)
def test_every_token_stands_once(n_vocab: int) -> None:
    vocabulary = make_vocabulary(n_vocab)
    assert len(vocabulary.tokens) == len(vocabulary.token_types) == n_vocab
    assert len(set(vocabulary.tokens)) == n_vocab
    assert vocabulary.tokens[vocabulary.id_of(END_OF_TURN)] == END_OF_TURN
    assert vocabulary.tokens[vocabulary.id_of(END_OF_TEXT)] == END_OF_TEXT


@pytest.mark.parametrize("n_vocab", SIZES)
def test_a_merge_joins_tokens_that_stand_before_its_own(n_vocab: int) -> None:
    vocabulary = make_vocabulary(n_vocab)
    rank = {token: index for index, token in enumerate(vocabulary.tokens)}
    for merge in vocabulary.merges:
        left, right = merge.split(" ")
        assert max(rank[left], rank[right]) < rank[left + right]


def test_further_tokens_stand_once_and_are_control_tokens_by_their_form() -> None:
    vocabulary = make_vocabulary(300, ["<think>", END_OF_TURN, "<|start_of_role|>", "<think>"])
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 300
    types = [vocabulary.token_types[vocabulary.id_of(each)] for each in ("<think>", END_OF_TURN)]
    assert types == [4, 3]
    assert vocabulary.token_types[vocabulary.id_of("<|start_of_role|>")] == 3


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="258"):
        make_vocabulary(258)
