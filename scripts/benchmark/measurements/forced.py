"""Owns what it saves to take forced tokens at once instead of one by one; ours alone."""

from __future__ import annotations

from scripts.benchmark.chat import CHAT_PATH, chat_body
from scripts.benchmark.console import say
from scripts.benchmark.engine_parts import EngineParts, Walk, json_command
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result
from scripts.benchmark.streamed import Streamed
from scripts.benchmark.structured_tasks import OBJECT_SCHEMA, response_format

_MOST_TOKENS = 500


def measure(plan: Plan) -> list[Result]:
    """Ask for the same object with and without `logprobs`, which take every token by itself.

    What the figures themselves cost is in it, some tenths of a millisecond a token.
    """
    at_once: list[float] = []
    one_by_one: list[float] = []
    text = ""
    with plan.speed_server() as server:
        for repeat in range(-1, plan.n_repeats):
            quick = _answer(server.client, repeat, logprobs=False)
            slow = _answer(server.client, repeat, logprobs=True)
            if repeat < 0:  # the first pair warms up
                continue
            text = quick.text
            at_once.append(quick.answer_ms)
            one_by_one.append(slow.answer_ms)
            say(
                f"forced {repeat + 1}/{plan.n_repeats}: {quick.answer_ms:.0f} ms "
                f"({quick.n_tokens} tokens) and {slow.answer_ms:.0f} ms ({slow.n_tokens})"
            )
    note = f"{_forced_in_words(plan, text)}; compared with the same taken one by one"
    return [Result("forced", "ms", at_once, None, one_by_one, "one by one", [note])]


def _answer(client: HttpClient, repeat: int, *, logprobs: bool) -> Streamed:
    messages = [{"role": "user", "content": "Report on the house."}]
    more = {"response_format": response_format(OBJECT_SCHEMA), "temperature": 1, "seed": 1 + repeat}
    return client.stream(CHAT_PATH, chat_body(messages, _MOST_TOKENS, **more, logprobs=logprobs))


def _forced_in_words(plan: Plan, answer: str) -> str:
    walk = Walk(EngineParts(plan.speed_model()).plan(json_command(OBJECT_SCHEMA)), answer)
    walk.to_end()
    return f"{walk.n_forced} of {walk.n_forced + walk.n_chosen} tokens are forced"
