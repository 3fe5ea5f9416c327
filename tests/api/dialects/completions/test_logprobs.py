"""Tokens become OpenAI's legacy logprobs object."""

from __future__ import annotations

from app.api.dialects.completions.logprobs import TokenList
from app.protocol import PromptToken, TokenChance, TokenLogprob


def token(piece: bytes, logprob: float = -1.0, *top: tuple[bytes, float]) -> TokenLogprob:
    chances = [TokenChance(piece=other, logprob=value) for other, value in top]
    return TokenLogprob(piece=piece, logprob=logprob, top=chances)


def test_nothing_is_null() -> None:
    assert TokenList().take() is None


def test_tokens_are_shown_once_and_offsets_go_on() -> None:
    tokens = TokenList()
    tokens.add([token(b"Hello"), token(b" you")])
    assert tokens.take() == {
        "tokens": ["Hello", " you"],
        "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{"Hello": -1.0}, {" you": -1.0}],
        "text_offset": [0, 5],
    }
    tokens.add([token(b"!")])
    rest = tokens.take()
    assert rest
    assert rest["text_offset"] == [9]
    assert tokens.take() is None


def test_the_likeliest_tokens_come_first_and_the_chosen_one_is_among_them() -> None:
    tokens = TokenList()
    tokens.add([token(b"c", -3.0, (b"a", -0.5), (b"b", -1.0)), token(b"a", -0.5, (b"a", -0.5))])
    shown = tokens.take()
    assert shown
    assert list(shown["top_logprobs"][0].items()) == [("a", -0.5), ("b", -1.0), ("c", -3.0)]
    assert shown["top_logprobs"][1] == {"a": -0.5}


def test_the_first_token_of_a_prompt_has_null() -> None:
    tokens = TokenList()
    tokens.add([PromptToken(id=1, piece=b"Once"), PromptToken(id=2, piece=b" upon", logprob=-2.0)])
    shown = tokens.take()
    assert shown
    assert shown["token_logprobs"] == [None, -2.0]
    assert shown["top_logprobs"] == [None, {" upon": -2.0}]


def test_offsets_count_characters_and_parts_of_one_are_bytes() -> None:
    llama = "🦙".encode()
    tokens = TokenList()
    tokens.add([token("ü".encode()), token(llama[:2]), token(llama[2:]), token(b"!")])
    shown = tokens.take()
    assert shown
    assert shown["tokens"] == ["ü", "bytes:\\xf0\\x9f", "bytes:\\xa6\\x99", "!"]
    assert shown["text_offset"] == [0, 1, 1, 2]


def test_the_next_token_may_begin_elsewhere() -> None:
    tokens = TokenList()
    tokens.add([token(b"<s>")])
    tokens.continue_at(0)
    tokens.add([token(b"Hi")])
    shown = tokens.take()
    assert shown
    assert shown["text_offset"] == [0, 0]
