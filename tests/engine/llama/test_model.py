"""A model file becomes a vocabulary: text to tokens, tokens to bytes, and what is special."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.llama import Model
from app.errors import ModelLoadFailed
from app.protocol import LoadParams
from tests.engine.llama.nano import NANO, PARAMS, TEXT


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_text_survives_its_tokens(model: Model, text: str) -> None:
    tokens = model.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(map(model.piece, tokens)).decode() == text
    assert model.detokenize(tokens) == text


def test_a_text_of_many_tokens_finds_room(model: Model) -> None:
    text = "🦙" * 500  # several tokens a character
    tokens = model.tokenize(text, add_special=False, parse_special=False)
    assert model.detokenize(tokens) == text


def test_special_tokens_are_added_and_parsed_only_on_request(model: Model) -> None:
    end = model.end_texts[0]
    assert len(model.tokenize(end, add_special=False, parse_special=True)) == 1
    assert len(model.tokenize(end, add_special=False, parse_special=False)) > 1
    assert model.token_of(end) == model.tokenize(end, add_special=False, parse_special=True)[0]
    assert model.token_of("two words") is None


def test_special_tokens_are_hidden_until_they_are_to_be_shown() -> None:
    model = Model(NANO, PARAMS, lambda _: None, vocab_only=True)
    tag = model.end_texts[0]
    token = model.token_of(tag)
    assert token is not None
    assert model.piece(token) == b""
    assert model.shown_piece(token) == tag.encode()
    model.show_special([tag, "no token at all"])
    assert model.piece(token) == tag.encode()


def test_the_end_tokens_are_those_that_end_the_generation(model: Model) -> None:
    assert model.end_tokens == tuple(token for token in range(model.n_vocab) if model.is_end(token))
    assert {model.token_of(text) for text in model.end_texts} <= set(model.end_tokens)


def test_the_token_table_spells_every_token_and_marks_control_tokens(model: Model) -> None:
    pieces, specials = model.token_table()
    assert len(pieces) == model.n_vocab
    assert set(model.end_tokens) <= specials
    for token in model.tokenize(TEXT, add_special=False, parse_special=False):
        assert pieces[token] == model.piece(token)
        assert token not in specials


@pytest.mark.parametrize("token", [-1, 10**9])
def test_an_id_outside_the_vocabulary_has_no_text(model: Model, token: int) -> None:
    with pytest.raises(ValueError, match="is no token id"):
        model.detokenize([token])


def test_loading_reports_its_progress_and_the_models_size() -> None:
    seen: list[float] = []
    model = Model(NANO, PARAMS, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert 0 < model.size_bytes < NANO.stat().st_size
    assert model.n_params > 1_000_000
    assert model.n_layer > 0
    assert model.n_ctx_train > 0
    assert model.n_ctx_short_rope is None
    assert not model.is_recurrent
    assert model.description
    assert model.chat_template


@pytest.mark.parametrize("use_mmap", [True, False])
def test_weights_may_be_mapped_or_read(use_mmap: bool) -> None:
    params = LoadParams(n_ctx=64, use_mmap=use_mmap)
    assert Model(NANO, params, lambda _: None).n_vocab > 0


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelLoadFailed, match=r"could not load 'broken\.gguf'"):
        Model(path, PARAMS, lambda _: None)
