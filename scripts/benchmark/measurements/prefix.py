"""Owns what a known prefix saves: time to first token cold, and again with another question."""

from __future__ import annotations

from scripts.benchmark.chat import CHAT_PATH, chat_body, end_token_bias, random_text
from scripts.benchmark.console import say
from scripts.benchmark.http_client import Streamed
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.server import ServerUnderTest

_PREFIX_TOKENS = 600
_ANSWER_TOKENS = 4
_QUESTIONS = ("Which lamps are on?", "What will the weather be?")


def measure(plan: Plan) -> list[Result]:
    """Send two questions under a fresh system prompt in each repeat; the first one is cold."""
    warm: list[float] = []
    cold: list[float] = []
    note = ""
    model = plan.speed_model()
    with plan.speed_server() as server:
        bias = end_token_bias(server.client, model)
        _pair(server, bias, _PREFIX_TOKENS // 10)
        for repeat in range(plan.n_repeats):
            first, second = _pair(server, bias, _PREFIX_TOKENS)
            cold.append(first.ttft_ms)
            warm.append(second.ttft_ms)
            note = f"{model.name}; prompt tokens, cold: {_counts(first)}, warm: {_counts(second)}"
            say(f"prefix {repeat + 1}/{plan.n_repeats}: {cold[-1]:.0f}, then {warm[-1]:.0f} ms")
    target = Target(0.08, of="ratio")
    return [Result("prefix", "ms", warm, target, peer=cold, peer_name="cold", notes=[note])]


def _pair(server: ServerUnderTest, bias: dict[str, float], n_tokens: int) -> list[Streamed]:
    system = {"role": "system", "content": random_text(server.client, n_tokens)}
    answers = []
    for question in _QUESTIONS:
        messages = [system, {"role": "user", "content": question}]
        body = chat_body(messages, _ANSWER_TOKENS, logit_bias=bias)
        answers.append(server.client.stream(CHAT_PATH, body))
    return answers


def _counts(answer: Streamed) -> str:
    cached = answer.usage["prompt_tokens_details"]["cached_tokens"]
    return f"{answer.usage['prompt_tokens']} ({cached} cached)"
