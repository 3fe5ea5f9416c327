"""The official `openai` client completes texts as it does against OpenAI."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.live.server import NANO, LiveServer, chunks

TEXT = "The capital of France is"
TEXTS = [TEXT, "The capital of Germany is", "The capital of Italy is"]
# Of a logprob: in batches of another shape llama.cpp rounds in other places, by up to 0.3 with the
# bundled model. The logprob of a neighbouring token is off by several.
# tests/engine/llama/test_raw_prompts.py compares with the logits of llama.cpp itself.
ROUNDING = 0.5


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


def create(client: openai.OpenAI, prompt: Any = TEXT, **fields: Any) -> Any:
    greedy: dict[str, Any] = {"model": NANO, "prompt": prompt, "temperature": 0}
    return client.completions.create(**(greedy | fields))


def tokens_of(server: LiveServer, text: str) -> list[int]:
    body = {"content": text, "add_special": True}
    tokens: list[int] = server.http.post("/tokenize", json=body).json()["tokens"]
    return tokens


def text_of(client: openai.OpenAI, prompt: Any = TEXT, **fields: Any) -> str:
    (choice,) = create(client, prompt, **fields).choices
    text: str = choice.text
    return text


def test_a_text_is_continued(client: openai.OpenAI) -> None:
    answer = create(client, max_tokens=12)
    (choice,) = answer.choices
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    assert choice.text
    assert choice.logprobs is None
    assert answer.usage.completion_tokens <= 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_it_is_not_a_conversation(client: openai.OpenAI, server: LiveServer) -> None:
    assert create(client, max_tokens=1).usage.prompt_tokens == len(tokens_of(server, TEXT))


def test_sixteen_tokens_are_generated_unless_told_otherwise(client: openai.OpenAI) -> None:
    answer = create(client, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


def test_a_stream_adds_up_to_the_whole_answer(client: openai.OpenAI) -> None:
    options = {"include_usage": True}
    *chunks, usage = create(client, max_tokens=12, stream=True, stream_options=options)
    whole = create(client, max_tokens=12)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert {chunk.id for chunk in chunks} == {usage.id}
    assert usage.choices == []
    assert usage.usage.completion_tokens == whole.usage.completion_tokens


def test_token_ids_are_a_prompt_as_their_text_is(client: openai.OpenAI, server: LiveServer) -> None:
    tokens = tokens_of(server, TEXT)
    assert text_of(client, tokens) == text_of(client)
    several = create(client, [tokens, tokens_of(server, "Once")]).choices
    assert [choice.text for choice in several] == [text_of(client), text_of(client, "Once")]


def test_answers_are_numbered_prompt_by_prompt(client: openai.OpenAI) -> None:
    answer = create(client, TEXTS, n=2, max_tokens=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    expected = [text_of(client, text, max_tokens=2) for text in TEXTS for _ in range(2)]
    assert [choice.text for choice in answer.choices] == expected
    streamed = [""] * 6
    for chunk in create(client, TEXTS, n=2, max_tokens=2, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == expected


def test_the_best_answers_are_the_likeliest(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"temperature": 1.5, "seed": 7, "max_tokens": 8, "logprobs": 0}

    def mean(choice: Any) -> float:
        logprobs = choice.logprobs.token_logprobs
        return float(sum(logprobs) / len(logprobs))

    every = create(client, n=6, **fields)
    best = create(client, n=2, best_of=6, **fields)
    likeliest = sorted(every.choices, key=mean, reverse=True)[:2]
    assert [choice.text for choice in best.choices] == [choice.text for choice in likeliest]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.usage.completion_tokens == every.usage.completion_tokens


def test_a_stop_string_ends_the_answer(client: openai.OpenAI) -> None:
    whole = text_of(client, max_tokens=12)
    stop = whole[len(whole) // 2]
    (choice,) = create(client, max_tokens=12, stop=stop).choices
    assert choice.text == whole[: whole.index(stop)]
    assert choice.finish_reason == "stop"


def test_logprobs_have_the_legacy_form(client: openai.OpenAI) -> None:
    (choice,) = create(client, max_tokens=6, logprobs=3).choices
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == [len("".join(found.tokens[:n])) for n in range(len(found.tokens))]
    for token, logprob, top in zip(
        found.tokens, found.token_logprobs, found.top_logprobs, strict=True
    ):
        assert len(top) == 3
        assert max(top, key=top.get) == token
        assert top[token] == logprob


def test_an_echo_has_the_prompt_and_its_logprobs_first(
    client: openai.OpenAI, server: LiveServer
) -> None:
    (choice,) = create(client, max_tokens=4, echo=True, logprobs=3).choices
    found = choice.logprobs
    n_prompt = len(tokens_of(server, TEXT))
    assert choice.text == TEXT + text_of(client, max_tokens=4)
    assert len(found.tokens) >= n_prompt + 4
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    assert all(logprob <= 0 for logprob in found.token_logprobs[1:])
    assert all(len(top) in (3, 4) for top in found.top_logprobs[1:])
    assert found.text_offset[n_prompt] == len(TEXT)
    for token, offset in list(zip(found.tokens, found.text_offset, strict=True))[1:n_prompt]:
        assert choice.text.startswith(token.removeprefix(" "), offset) or choice.text.startswith(
            token, offset
        )


def test_an_echo_is_streamed_before_the_answer(client: openai.OpenAI) -> None:
    whole = create(client, max_tokens=4, echo=True, logprobs=2).choices[0]
    chunks = list(create(client, max_tokens=4, echo=True, logprobs=2, stream=True))
    assert chunks[0].choices[0].text == TEXT
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.text
    found = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [token for part in found for token in part.tokens] == whole.logprobs.tokens
    assert [at for part in found for at in part.text_offset] == whole.logprobs.text_offset


def test_every_answer_begins_with_its_echo(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"n": 2, "echo": True, "logprobs": 1, "max_tokens": 2}
    choices = create(client, TEXTS, **fields).choices
    for choice, text in zip(choices, sorted(TEXTS * 2), strict=True):
        assert choice.text == text + text_of(client, text, max_tokens=2)
        assert choice.logprobs.token_logprobs[0] is None


def test_streams_with_an_echo_go_on_when_their_engine_is_killed(own_server: LiveServer) -> None:
    body: dict[str, Any] = {"prompt": TEXTS, "echo": True, "logprobs": 1, "ignore_eos": True}
    body |= {"max_tokens": 400, "temperature": 0, "stream": True}
    texts, scored = [""] * 3, [0] * 3
    with own_server.http.stream("POST", "/v1/completions", json=body) as response:
        for number, piece in enumerate(chunks(response)):
            (choice,) = piece["choices"]
            texts[choice["index"]] += choice["text"]
            scored[choice["index"]] += len((choice["logprobs"] or {"tokens": []})["tokens"])
            if number == 5:
                os.kill(own_server.engine_pid, signal.SIGKILL)
    assert all(text.startswith(prompt) for text, prompt in zip(texts, TEXTS, strict=True))
    n_prompt = [len(tokens_of(own_server, prompt)) for prompt in TEXTS]
    assert scored == [400 + n for n in n_prompt]
    assert own_server.log("request_resumed")


def test_a_prompt_is_scored_without_generating(client: openai.OpenAI) -> None:
    answer = create(client, max_tokens=0, echo=True, logprobs=1)
    (choice,) = answer.choices
    assert choice.text == TEXT
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 0
    assert len(choice.logprobs.tokens) == answer.usage.prompt_tokens


def test_one_token_behind_a_scored_prompt_is_listed_even_if_it_ends_the_answer(
    client: openai.OpenAI,
) -> None:
    """Evaluation harnesses ask for one token and leave the last of the list out."""
    asked = "What is the capital of Spain?"
    answer = create(client, asked, max_tokens=1, echo=True, logprobs=1)
    (choice,) = answer.choices
    assert choice.text == asked
    assert choice.finish_reason == "stop"
    assert len(choice.logprobs.tokens) == answer.usage.prompt_tokens + 1
    assert max(choice.logprobs.top_logprobs[-1].values()) == choice.logprobs.token_logprobs[-1]
    (plain,) = create(client, asked, max_tokens=1, logprobs=1).choices
    assert (plain.text, plain.logprobs.tokens) == ("", [])


def test_a_scored_text_is_as_likely_as_when_it_was_generated(
    client: openai.OpenAI, server: LiveServer
) -> None:
    ids = tokens_of(server, TEXT)
    native = {"prompt": ids, "n_predict": 10, "return_tokens": True, "ignore_eos": True}
    generated = server.http.post("/completion", json={**native, "temperature": 0, "n_probs": 1})
    said = generated.json()
    (scored,) = create(client, [*ids, *said["tokens"]], max_tokens=0, echo=True, logprobs=1).choices
    expected = [each["logprob"] for each in said["completion_probabilities"]]
    found = scored.logprobs.token_logprobs[len(ids) :]
    assert len(found) == len(expected) == 10
    for one, other in zip(found, expected, strict=True):
        assert math.isclose(one, other, abs_tol=ROUNDING)


def test_several_prompts_are_scored_each_by_itself(client: openai.OpenAI) -> None:
    texts = [TEXT, "Once upon a time there was a"]
    fields: dict[str, Any] = {"max_tokens": 0, "echo": True, "logprobs": 1}
    together = create(client, texts, **fields).choices
    for choice, text in zip(together, texts, strict=True):
        (alone,) = create(client, text, **fields).choices
        pairs = zip(
            choice.logprobs.token_logprobs[1:], alone.logprobs.token_logprobs[1:], strict=True
        )
        assert all(math.isclose(one, other, abs_tol=ROUNDING) for one, other in pairs)


def test_an_answer_fits_a_grammar(client: openai.OpenAI) -> None:
    assert text_of(client, extra_body={"regex": "[0-9]{3}"}).isdigit()


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": [1, "a"]}),
        ("prompt", {"prompt": [2**31 - 1]}),
        ("suffix", {"suffix": " is lovely."}),  # the model has no tokens for it
        ("best_of", {"n": 2, "best_of": 1}),
        ("best_of", {"best_of": 2, "stream": True}),
        ("logprobs", {"logprobs": 6}),
        ("n", {"n": 17}),
        ("max_tokens", {"max_tokens": -2}),
        ("echo", {"echo": True, "suffix": "z"}),
        ("temperature", {"temperature": 101}),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(
    client: openai.OpenAI, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **fields)
    assert (refused.value.param or "").partition("[")[0] == field


def test_a_prompt_over_the_context_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, [5] * 100_000)
    assert refused.value.code == "context_length_exceeded"


def test_one_wrong_prompt_among_several_refuses_them_all(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, [TEXT, [5] * 100_000])
    assert refused.value.code == "context_length_exceeded"
