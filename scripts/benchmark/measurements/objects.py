"""Owns how long an answer takes that its schema mostly forces, against another server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripts.benchmark.chat import CHAT_PATH, chat_body, end_token_bias
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed
from scripts.benchmark.structured_tasks import (
    OBJECT_SCHEMA,
    TOOLS,
    response_format,
    whitespace_share,
)

_QUESTION = "Report on the house."
_MOST_TOKENS = 2000  # random weights like whitespace, where a grammar leaves room for it
_TARGET = Target(1 / 2.5, of="ratio")
_GREEDY: dict[str, Any] = {"temperature": 0}


def _seeded(repeat: int) -> dict[str, Any]:
    return {"temperature": 1, "seed": 1 + repeat}


@dataclass
class _Case:
    """One kind of answer and what the servers made of it.

    Attributes:
        body: what is asked for besides the sampling.
        shown: of it, what stands in the prompt; a free text is asked for with this.
        sampling: of a repeat.
        is_peers: the peer gives such answers too. llama-server lets a model write what it likes
            before a call that is required, and random weights never come to the call.
        is_long: it is measured once for three repeats of the others.
    """

    body: dict[str, Any]
    shown: dict[str, Any]
    sampling: Callable[[int], dict[str, Any]]
    is_peers: bool = True
    is_long: bool = False
    ours: list[Streamed] = field(default_factory=list)
    peer: list[Streamed] = field(default_factory=list)
    free: list[Streamed] = field(default_factory=list)


def _cases() -> dict[str, _Case]:
    held = {"response_format": response_format(OBJECT_SCHEMA)}
    tools = {"tools": TOOLS}
    return {
        "object": _Case(held, {}, _seeded),
        "object, greedy": _Case(held, {}, lambda _: _GREEDY, is_long=True),
        "call": _Case(tools | {"tool_choice": "required"}, tools, _seeded, is_peers=False),
    }


def measure(plan: Plan) -> list[Result]:
    """Ask both servers for the same, one after the other; both know the prompts.

    In each turn the peer also writes a free text as long as our answer: that is what an answer
    costs where every token is computed, and grammars and whitespace cost nothing.

    Raises:
        BenchFailed: there is no peer, or an answer did not end.
    """
    cases = _cases()
    with plan.both_servers() as (ours, peer):
        bias = {"logit_bias": end_token_bias(ours.client, plan.speed_model())}
        for case in cases.values():
            _ask(ours.client, case.body | _GREEDY, 1)
            _ask(peer.client, case.shown | _GREEDY, 1)
        for repeat in range(plan.n_repeats):
            for name, case in cases.items():
                if case.is_long and repeat >= plan.n_long_repeats:
                    continue
                body = case.body | case.sampling(repeat)
                case.ours.append(_ask_whole(ours.client, body))
                if case.is_peers:
                    case.peer.append(_ask_whole(peer.client, body))
                case.free.append(_ask(peer.client, case.shown | bias, case.ours[-1].n_tokens))
                sides = (case.ours, case.peer, case.free)
                shown = ", ".join(_in_words(side[-1]) for side in sides if side)
                say(f"{name} {repeat + 1}/{plan.n_repeats}: {shown}")
    return [row for name, case in cases.items() for row in _rows(name, case, peer.name)]


def _ask(client: HttpClient, body: dict[str, Any], n_tokens: int) -> Streamed:
    messages = [{"role": "user", "content": _QUESTION}]
    return client.stream(CHAT_PATH, chat_body(messages, n_tokens, **body))


def _ask_whole(client: HttpClient, body: dict[str, Any]) -> Streamed:
    answer = _ask(client, body, _MOST_TOKENS)
    if answer.n_tokens >= _MOST_TOKENS:
        raise BenchFailed(f"an answer did not end within {_MOST_TOKENS} tokens")
    return answer


def _in_words(answer: Streamed) -> str:
    return f"{answer.answer_ms:.0f} ms ({answer.n_tokens} tokens)"


def _rows(name: str, case: _Case, peer_name: str) -> list[Result]:
    times = [each.answer_ms for each in case.ours]
    free = Result(
        f"{name}, free",
        "ms",
        times,
        None,
        [each.answer_ms for each in case.free],
        f"{peer_name}, free text",
        [f"against a free text of as many tokens, {case.ours[-1].n_tokens}"],
    )
    if not case.is_peers:
        return [free]
    told = case.peer[-1]
    note = (
        f"first to last byte; {case.ours[-1].n_tokens} and {told.n_tokens} tokens, "
        f"{whitespace_share(told.text):.0%} of the peer's characters are space between values"
    )
    theirs = [each.answer_ms for each in case.peer]
    whole = [[each.whole_ms for each in side] for side in (case.ours, case.peer)]
    return [
        Result(name, "ms", times, _TARGET, theirs, peer_name, [note]),
        Result(f"{name}, whole", "ms", whole[0], None, whole[1], peer_name),
        free,
    ]
