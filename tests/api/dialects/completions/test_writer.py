"""An engine's events become OpenAI's completions, whole or in chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.dialects.completions.schemas import CompletionResponse
from app.api.dialects.completions.writer import MAX_PROMPT_CHANCES, CompletionWriter
from app.api.outcome import Outcome
from app.errors import EngineDied, InvalidRequest
from app.protocol import (
    Finished,
    Generate,
    PromptEcho,
    PromptToken,
    RawPrompt,
    RequestEvent,
    SamplingParams,
    Started,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    Usage,
)
from tests.host.fake_engine import TIMINGS

Event = tuple[int, RequestEvent]

USAGE = Usage(prompt_tokens=4, cached_tokens=1, completion_tokens=2)
ECHO = PromptEcho(
    request_id="r",
    text="Once",
    tokens=[PromptToken(id=1, piece=b"<s>"), PromptToken(id=2, piece=b"Once", logprob=-2.0)],
)


def text(said: str, choice: int = 0) -> TextDelta:
    return TextDelta(request_id="r", text=said, choice=choice)


def logprobs(logprob: float, *pieces: bytes, choice: int = 0) -> TokenLogprobs:
    tokens = [TokenLogprob(piece=piece, logprob=logprob) for piece in pieces]
    return TokenLogprobs(request_id="r", tokens=tokens, choice=choice)


def finished(choice: int = 0, reason: str = "stop") -> Finished:
    return Finished(request_id="r", reason=reason, usage=USAGE, timings=TIMINGS, choice=choice)


def commands(n_prompts: int, n: int, *, echo: bool = False) -> list[Generate]:
    prompt = RawPrompt(text="Once")
    sampling = SamplingParams()
    command = Generate(request_id="r", prompt=prompt, sampling=sampling, n=n, echo=echo)
    return [command] * n_prompts


def writer(told: list[Generate], **given: Any) -> CompletionWriter:
    fields = {"n": told[0].n, "shows_logprobs": False, **given}
    return CompletionWriter("cmpl-1", 'odd "model".gguf', "fp_x", told, **fields)


def whole(told: list[Generate], events: list[Event], **given: Any) -> dict[str, Any]:
    written, outcome = writer(told, **given), Outcome(told)
    for prompt_no, event in events:
        written.collect(prompt_no, event)
        outcome.note(prompt_no, [event])
    body: dict[str, Any] = json.loads(written.whole(outcome))
    return body


def chunks(told: list[Generate], events: list[Event], **given: Any) -> list[dict[str, Any]]:
    written, outcome = writer(told, **given), Outcome(told)
    sent = b""
    for prompt_no, event in events:
        sent += written.feed(prompt_no, event)
        outcome.note(prompt_no, [event])
    sent += written.end(outcome)
    *frames, done, nothing = sent.decode().split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


ONE: list[Event] = [
    (0, Started(request_id="r", prompt_tokens=4, cached_tokens=1)),
    (0, text('Grüße "🦙"\n')),
    (0, text("and more")),
    (0, finished(reason="length")),
]


def test_a_whole_answer_has_the_documented_shape() -> None:
    body = whole(commands(1, 1), ONE)
    CompletionResponse.model_validate(body)
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {"text": 'Grüße "🦙"\nand more', "index": 0, "logprobs": None, "finish_reason": "length"}
    ]
    assert body["usage"]["total_tokens"] == 6


def test_the_chunks_of_a_stream_add_up_to_the_whole_answer() -> None:
    streamed = chunks(commands(1, 1), ONE)
    assert "".join(piece["choices"][0]["text"] for piece in streamed) == 'Grüße "🦙"\nand more'
    assert [piece["choices"][0]["finish_reason"] for piece in streamed] == [None, None, "length"]
    assert all(piece["object"] == "text_completion" for piece in streamed)
    assert all(piece["id"] == "cmpl-1" for piece in streamed)


def test_a_chunk_with_the_usage_ends_a_stream_that_asks_for_it() -> None:
    last = chunks(commands(1, 1), ONE, includes_usage=True)[-1]
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 4


SEVERAL: list[Event] = [
    (1, text("d", choice=1)),
    (0, text("a", choice=0)),
    (1, text("c", choice=0)),
    (0, text("b", choice=1)),
    *((no, finished(choice)) for no in (0, 1) for choice in (0, 1)),
]


def test_answers_are_numbered_prompt_by_prompt() -> None:
    body = whole(commands(2, 2), SEVERAL)
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "d"),
    ]
    assert body["usage"]["prompt_tokens"] == 8
    assert body["usage"]["completion_tokens"] == 8
    streamed = [piece["choices"][0] for piece in chunks(commands(2, 2), SEVERAL)]
    assert {(choice["index"], choice["text"]) for choice in streamed if choice["text"]} == {
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "d"),
    }


ECHOED: list[Event] = [
    (0, ECHO),
    (0, logprobs(-1.0, b" upon")),
    (0, text(" upon")),
    (0, finished()),
]


def test_an_echo_begins_each_answer_with_its_prompt_and_its_tokens() -> None:
    (choice,) = whole(commands(1, 1, echo=True), ECHOED, shows_logprobs=True)["choices"]
    assert choice["text"] == "Once upon"
    assert choice["logprobs"]["tokens"] == ["<s>", "Once", " upon"]
    assert choice["logprobs"]["token_logprobs"] == [None, -2.0, -1.0]
    assert choice["logprobs"]["text_offset"][-1] == len("Once")


def test_a_streamed_echo_is_the_first_chunk_of_every_answer() -> None:
    events: list[Event] = [(0, ECHO), (0, finished()), (0, finished(1))]
    first, second, *_ = chunks(commands(1, 2, echo=True), events, shows_logprobs=True)
    assert [each["choices"][0]["text"] for each in (first, second)] == ["Once", "Once"]
    assert [each["choices"][0]["index"] for each in (first, second)] == [0, 1]
    assert first["choices"][0]["logprobs"]["tokens"] == ["<s>", "Once"]


def test_streamed_logprobs_come_with_the_text_of_their_tokens() -> None:
    streamed = chunks(commands(1, 1, echo=True), ECHOED, shows_logprobs=True)
    offsets = [piece["choices"][0]["logprobs"] for piece in streamed]
    assert [each and each["text_offset"][-1] for each in offsets] == [0, 4, None]


def test_an_answer_without_tokens_has_empty_lists() -> None:
    (choice,) = whole(commands(1, 1), [(0, finished())], shows_logprobs=True)["choices"]
    assert choice["logprobs"]["tokens"] == []


def test_the_answers_with_the_highest_mean_logprob_are_returned() -> None:
    events: list[Event] = [
        (0, logprobs(-3.0, b"a", choice=0)),
        (0, text("a", choice=0)),
        (0, logprobs(-0.5, b"b", b"b", b"b", b"b", choice=1)),
        (0, text("bbbb", choice=1)),
        (0, logprobs(-1.0, b"c", choice=2)),
        (0, text("c", choice=2)),
        *((0, finished(choice)) for choice in range(3)),
    ]
    body = whole(commands(1, 3), events, n=2)
    assert [choice["text"] for choice in body["choices"]] == ["bbbb", "c"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert [choice["logprobs"] for choice in body["choices"]] == [None, None]
    assert body["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize("shows_logprobs", [True, False])
def test_no_text_may_break_a_line_of_the_stream(shows_logprobs: bool) -> None:
    frame = writer(commands(1, 1), shows_logprobs=shows_logprobs).feed(0, text("a\n\nb\r"))
    assert frame.count(b"\n") == 2


def test_an_error_ends_a_stream() -> None:
    sent = writer(commands(1, 1)).error(EngineDied("gone")).decode()
    error, done, _ = sent.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["message"] == "gone"
    assert done == "data: [DONE]"


def test_logprobs_of_all_prompts_are_bounded_where_they_are_kept_for_one_answer() -> None:
    tokens = [PromptToken(id=1, piece=b"a")] * (MAX_PROMPT_CHANCES // 2)
    echo = PromptEcho(request_id="r", text="", tokens=tokens)
    more = PromptEcho(request_id="r", text="", tokens=tokens[:1])
    kept = writer(commands(3, 1, echo=True), shows_logprobs=True)
    kept.collect(0, echo)
    kept.collect(1, echo)
    with pytest.raises(InvalidRequest) as refused:
        kept.collect(2, more)
    assert refused.value.param == "logprobs"
