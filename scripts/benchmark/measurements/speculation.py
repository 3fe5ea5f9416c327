"""Owns what guessing tokens ahead gains where text repeats itself, and costs where it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scripts.benchmark.chat import CHAT_PATH, chat_body, end_token_bias
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed

_N_TOKENS = 256  # random weights take a hundred tokens to fall into a loop
_COPIED_TOKENS = 160
_COPY = (
    "Say this again word by word: The lamp in the hall is on. The lamp in the kitchen is off. "
    "The lamp in the bedroom is on. The lamp in the bathroom is off."
)
_NO_LOSS = Target(0.97, of="ratio", is_lower_bound=True)


@dataclass
class _Case:
    """One kind of text.

    Attributes:
        question: what it answers.
        n_tokens: its length, at most.
        sampling: how it is chosen.
        has_one_text: it has to be the same with guesses and without.
    """

    question: str
    n_tokens: int
    sampling: dict[str, Any]
    target: Target | None
    note: str
    has_one_text: bool = True
    guessed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)


def measure(plan: Plan) -> list[Result]:
    """Ask with `speculate` and without, in turn.

    Raises:
        BenchFailed: a greedy text is another one where tokens are guessed.
    """
    story = "Tell me a long story."
    greedy: dict[str, Any] = {"temperature": 0}
    with plan.speed_server() as server:
        bias = {"logit_bias": end_token_bias(server.client, plan.speed_model())}
        note = f"{_N_TOKENS} tokens of noise"
        cases = {
            "guessing (loop)": _Case(
                story, _N_TOKENS, greedy | bias, _NO_LOSS, f"{note} that comes to repeat itself"
            ),
            "guessing (one word)": _Case(
                story,
                _N_TOKENS,
                greedy | _only(server.client, " the"),
                _NO_LOSS,
                f"{_N_TOKENS} times the same token: every guess is right",
            ),
            "guessing (no loop)": _Case(
                story,
                _N_TOKENS,
                {"temperature": 1.5} | bias,
                _NO_LOSS,
                note,
                has_one_text=False,
            ),
        }
        _take_turns(plan, server.client, cases)
    note = f"{_COPIED_TOKENS} tokens of {plan.small_model.name}, asked to repeat what was said"
    copy = _Case(_COPY, _COPIED_TOKENS, greedy | {"ignore_eos": True}, _NO_LOSS, note)
    with plan.small_server() as server:
        _take_turns(plan, server.client, {"guessing (copy)": copy})
    cases["guessing (copy)"] = copy
    return [
        Result(name, "tok/s", case.guessed, case.target, case.plain, "one by one", [case.note])
        for name, case in cases.items()
    ]


def _only(client: HttpClient, text: str) -> dict[str, Any]:
    """Return what makes a model say nothing but the first token of a text."""
    token = client.post("/tokenize", {"content": text})["tokens"][0]
    return {"logit_bias": {str(token): 100.0}}


def _take_turns(plan: Plan, client: HttpClient, cases: dict[str, _Case]) -> None:
    for repeat in range(-1, plan.n_repeats):
        for name, case in cases.items():
            sides = (True, False) if repeat % 2 else (False, True)
            told = {speculate: _answer(client, case, repeat, speculate) for speculate in sides}
            if case.has_one_text and told[True].text != told[False].text:
                raise BenchFailed(f"{name}: the text is another one where tokens are guessed")
            if repeat < 0:  # the first pair warms up
                continue
            case.guessed.append(told[True].tokens_per_s)
            case.plain.append(told[False].tokens_per_s)
            speeds = f"{case.guessed[-1]:.1f} and {case.plain[-1]:.1f} tok/s"
            say(f"{name} {repeat + 1}/{plan.n_repeats}: {speeds} ({told[True].n_tokens} tokens)")


def _answer(client: HttpClient, case: _Case, repeat: int, speculate: bool) -> Streamed:
    messages = [{"role": "user", "content": case.question}]
    more = {"seed": 2 + repeat, "speculate": speculate}
    return client.stream(CHAT_PATH, chat_body(messages, case.n_tokens, **case.sampling, **more))
