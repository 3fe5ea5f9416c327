"""Tokens become OpenAI's legacy logprobs object."""

from __future__ import annotations

import pytest

from app.api.dialects.completions.logprobs import TokenList
from app.protocol import PromptEcho, PromptToken, TokenChance, TokenLogprob


def token(piece: bytes, logprob: float = -1.0, *top: tuple[bytes, float]) -> TokenLogprob:
    chances = [TokenChance(piece=other, logprob=value) for other, value in top]
    return TokenLogprob(piece=piece, logprob=logprob, top=chances)


def test_no_tokens_are_empty_lists() -> None:
    tokens = TokenList()
    assert tokens.is_empty
    assert set(map(len, tokens.take().values())) == {0}


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
    assert rest["text_offset"] == [9]
    assert tokens.is_empty


def test_the_likeliest_tokens_come_first_and_the_chosen_one_is_among_them() -> None:
    tokens = TokenList()
    tokens.add([token(b"c", -3.0, (b"a", -0.5), (b"b", -1.0)), token(b"a", -0.5, (b"a", -0.5))])
    shown = tokens.take()
    assert list(shown["top_logprobs"][0].items()) == [("a", -0.5), ("b", -1.0), ("c", -3.0)]
    assert shown["top_logprobs"][1] == {"a": -0.5}


def prompt(text: str, *pieces: bytes) -> PromptEcho:
    tokens = [
        PromptToken(id=number, piece=piece, logprob=-2.0 if number else None)
        for number, piece in enumerate(pieces)
    ]
    return PromptEcho(request_id="r", text=text, tokens=tokens)


def test_the_first_token_of_a_prompt_has_null() -> None:
    tokens = TokenList()
    tokens.add_prompt(prompt("Once upon", b"Once", b" upon"))
    shown = tokens.take()
    assert shown["token_logprobs"] == [None, -2.0]
    assert shown["top_logprobs"] == [None, {" upon": -2.0}]


@pytest.mark.parametrize(
    ("echo", "offsets"),
    [
        (prompt("Hi you", b"Hi", b" you"), [0, 2]),
        (prompt("Hi you", b"<s>", b"Hi", b" you"), [0, 0, 2]),
        (prompt("<s>Hi", b"<s>", b"Hi"), [0, 3]),
        (prompt("Hi you", b"<s>", b" Hi", b" you"), [0, 0, 2]),
        (prompt(" Hi", b" Hi"), [0]),
        (prompt("über", b"\xc3", b"\xbcb", b"er"), [0, 0, 2]),
    ],
)
def test_tokens_of_a_prompt_are_where_its_text_shows_them(
    echo: PromptEcho, offsets: list[int]
) -> None:
    tokens = TokenList()
    tokens.add_prompt(echo)
    tokens.add([token(b"!")])
    shown = tokens.take()
    assert shown["text_offset"] == [*offsets, len(echo.text)]


def test_offsets_count_characters_and_parts_of_one_are_bytes() -> None:
    llama = "🦙".encode()
    tokens = TokenList()
    tokens.add([token("ü".encode()), token(llama[:2]), token(llama[2:]), token(b"!")])
    shown = tokens.take()
    assert shown["tokens"] == ["ü", "bytes:\\xf0\\x9f", "bytes:\\xa6\\x99", "!"]
    assert shown["text_offset"] == [0, 1, 1, 2]
