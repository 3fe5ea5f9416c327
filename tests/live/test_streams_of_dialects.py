"""In every dialect a streamed answer is the whole one in pieces, each piece where it may stand.

The answers are random: text, thoughts, calls and objects, cut by `max_tokens` and stop strings;
for some an engine dies. `--stream-answers N` asks for N in each dialect.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.live.dialect_streams import DIALECTS, Answer, Case, Json, Spoken
from tests.live.server import MODELS, NANO, LiveServer
from tests.models.gguf_rewrite import Gguf

N_FEW = 10
EVERY_DEATH = 20  # one engine in so many answers dies
QUESTIONS = (
    "Turn the LED green.",
    "Paint the wall blue, level 20.",
    "Tell me a story.",
    "What is the capital of France?",
    "Say the numbers from one to ten.",
    "Hello!",
)
STOPS = ("a", "the", " is", "\n", ".", "green", "}", '"')
OPENS_THOUGHTS = "{%- if enable_thinking is not defined or enable_thinking -%}<think>{%- endif -%}"


@pytest.fixture(scope="module")
def thinker() -> Iterator[LiveServer]:
    """A server that answers greedily, and whose model's prompts open short thoughts."""
    template = bytes(Gguf.read(MODELS / NANO).values["tokenizer.chat_template"])[12:].decode()
    with LiveServer(
        *("--chat-template", template.rstrip() + OPENS_THOUGHTS, "--reasoning-budget", "6"),
        *("--temperature", "0", "--unknown-model", "default"),
    ) as live:
        yield live.wait_healthy()


def random_case(draw: random.Random) -> Case:
    """Return a random request."""
    stops = draw.sample(STOPS, draw.choice((0, 0, 0, 1, 2)))
    return Case(
        prompt=f"{draw.choice(QUESTIONS)} {draw.randrange(1000)}",
        form=draw.choice(("text", "text", "tools", "call", "schema")),
        most=draw.choice((60, draw.randint(1, 40))),
        stop=tuple(stops),
        thinks=draw.random() < 0.5,
    )


def whole(server: LiveServer, spoken: Spoken, case: Case) -> Answer:
    """Return the answer as one body."""
    answer = server.http.post(spoken.path, json={**spoken.body(case), "stream": False})
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return spoken.whole(told)


def streamed(server: LiveServer, spoken: Spoken, case: Case, *, dies: bool = False) -> Answer:
    """Return the answer in pieces; the engine may die after the first one."""
    body = {**spoken.body(case), "stream": True}
    with server.http.stream("POST", spoken.path, json=body) as response:
        assert response.status_code == 200
        pieces = response.iter_raw()
        data = next(pieces)
        if dies:
            os.kill(server.engine_pid, signal.SIGKILL)
        data += b"".join(pieces)
    return spoken.streamed(data)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", DIALECTS)
def test_a_streamed_answer_is_the_whole_one_in_pieces(
    thinker: LiveServer, name: str, request: pytest.FixtureRequest
) -> None:
    spoken = DIALECTS[name]
    draw = random.Random(name)
    n_answers = request.config.getoption("stream_answers") or N_FEW
    for number in range(n_answers):
        case = random_case(draw)
        dies = number % EVERY_DEATH == EVERY_DEATH // 2 - 1
        whole(thinker, spoken, replace(case, most=1))  # both find the same of it in the cache
        expected = whole(thinker, spoken, case)
        answer = streamed(thinker, spoken, case, dies=dies)
        # The next engine reads the prompt and what was said at once, which rounds in another way:
        # where two words are equally likely, it may take the other one.
        assert dies or answer == expected, (number, case)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_streamed_call_may_be_cut_at_every_token(thinker: LiveServer, name: str) -> None:
    spoken = DIALECTS[name]
    for most in range(1, 26, 2):
        case = Case("Turn the LED green.", "call", most, thinks=most % 4 == 1)
        assert streamed(thinker, spoken, case) == whole(thinker, spoken, case), case
