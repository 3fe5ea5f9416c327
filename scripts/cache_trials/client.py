"""Owns the requests of the trials and reading their answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from scripts.cache_trials.comparison import Token

CHAT = "/v1/chat/completions"
TIMEOUT_S = 300.0
_N_LIKELIEST = 20

Message = dict[str, Any]
Body = dict[str, Any]


class TrialFailed(Exception):
    """A server gave no answer, or one that no case allows."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to a prompt."""

    message: Message
    tokens: Sequence[Token]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a prompt.

    Attributes:
        choices: as many as `n`.
        n_prompt: tokens of the prompt.
        n_cached: how many of them needed no prefill.
        tier: where they were: memory, disk or none.
    """

    choices: Sequence[Choice]
    n_prompt: int
    n_cached: int
    tier: str

    @property
    def message(self) -> Message:
        """The first answer's message, as a client keeps it in its history."""
        return {
            name: value
            for name, value in self.choices[0].message.items()
            if value is not None or name == "content"
        }


def greedy(messages: Sequence[Message], max_tokens: int, **fields: Any) -> Body:
    """Return a request for a greedy answer with logprobs."""
    return {
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": _N_LIKELIEST,
        **fields,
    }


def ask(http: httpx.Client, body: Body) -> Answer:
    """Return the answer to a request.

    Raises:
        TrialFailed: the status is not 200, or nobody answers.
    """
    try:
        response = http.post(CHAT, json=body, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise TrialFailed(f"no answer: {error!r}") from error
    if response.status_code != 200:
        raise TrialFailed(f"{response.status_code}: {response.text}")
    whole = response.json()
    usage = whole["usage"]
    return Answer(
        [_choice(each) for each in whole["choices"]],
        usage["prompt_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        whole["timings"]["tier"],
    )


def _choice(choice: dict[str, Any]) -> Choice:
    listed = (choice["logprobs"] or {}).get("content") or []
    return Choice(choice["message"], [_token(entry) for entry in listed], choice["finish_reason"])


def _token(entry: dict[str, Any]) -> Token:
    others = {bytes(top["bytes"]): top["logprob"] for top in entry["top_logprobs"]}
    return Token(bytes(entry["bytes"]), entry["logprob"], others)


def cancel(http: httpx.Client, body: Body, n_tokens: int) -> int:
    """Ask, and hang up once so many tokens of the prompt are prefilled; return how many were.

    Raises:
        TrialFailed: the status is not 200, or nobody answers.
    """
    n_done = 0
    wanted = body | {"stream": True, "return_progress": True}
    try:
        with http.stream("POST", CHAT, json=wanted, timeout=TIMEOUT_S) as response:
            if response.status_code != 200:
                raise TrialFailed(f"{response.status_code}: {response.read().decode()}")
            for line in response.iter_lines():
                if not line.startswith("data: {"):
                    continue
                progress = json.loads(line.removeprefix("data: ")).get("prompt_progress")
                n_done = progress["processed"] if progress else n_done
                if not progress or n_done >= n_tokens:
                    return n_done
    except httpx.HTTPError as error:
        raise TrialFailed(f"no answer: {error!r}") from error
    return n_done
