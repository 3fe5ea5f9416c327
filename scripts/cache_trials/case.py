"""Owns one case: its requests to the warm server, and what each is to be compared with."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from scripts.cache_trials.client import Answer, Body, ask, cancel, greedy
from scripts.cache_trials.servers import OTHER, ColdServer, WarmServer
from scripts.cache_trials.talk import Head, Talk, make_head, without_words, words

_FORCED_SHARE = 0.7  # of answers that may not end by themselves
_CALL_TOKENS = 96
_CONTROL_SHARE = 0.1
_CONTROL_WORDS = 5


@dataclass(frozen=True)
class Expected:
    """Tokens of a prompt that the warm server computed before.

    Attributes:
        n_head: those of the head; 0 where it was not seen before, or nothing is to be found.
        n_turn: those up to where the prompt leaves every one before it, or up to where one was
            cancelled; 0 where no more than the head is to be found.
    """

    n_head: int = 0
    n_turn: int = 0


@dataclass(frozen=True)
class Check:
    """A warm answer and the cold one that it has to equal.

    Attributes:
        step: what was done, for people.
        body: the request of the cold run.
        warm: the warm answer.
        cold: the cold one.
        expected: what the warm server had of the prompt.
        control: the cold answer to a prompt that lacks some words, which has to differ.
    """

    step: str
    body: Body
    warm: Answer
    cold: Future[Answer]
    expected: Expected
    control: Future[Answer] | None = None


@dataclass(frozen=True)
class Scale:
    """How long the texts of a run are.

    Attributes:
        n_head: least and most tokens of a head.
        words_per_token: of the texts that `talk` makes.
    """

    n_head: tuple[int, int]
    words_per_token: float


class Case:
    """What a case does; `kinds` has the scripts.

    Args:
        seed: of all that is random in it.
        warm: the server with the cache.
        cold: the one without.
        scale: how long texts are.
    """

    def __init__(self, seed: str, warm: WarmServer, cold: ColdServer, scale: Scale) -> None:
        self.dice = random.Random(seed)
        self.warm = warm
        self.checks: list[Check] = []
        self.n_cancelled = 0
        self.n_killed = 0
        self._n_deaths = warm.n_deaths
        self._cold = cold
        self._scale = scale
        self._seen: list[str] = []

    # ------------------------------------------------------------ texts

    def talk(self, n_tools: int = 0) -> Talk:
        """Return a conversation with a head of its own."""
        n_tokens = self.dice.randint(*self._scale.n_head)
        return Talk(make_head(self.dice, self._n_words(n_tokens), n_tools))

    def words(self, least: int, most: int) -> str:
        """Return a text of a number of tokens."""
        return words(self.dice, self._n_words(self.dice.randint(least, most)))

    def question(self) -> str:
        """Return what a user says."""
        return self.words(4, 40)

    def _n_words(self, n_tokens: int) -> int:
        return max(1, round(n_tokens * self._scale.words_per_token))

    # ------------------------------------------------------------ requests

    def say(self, talk: Talk, step: str, *, expects: str = "turn", **fields: Any) -> Answer:
        """Let the user say something, and keep the answer in the conversation."""
        return self.answer(talk.say(self.question()), step, expects=expects, **fields)

    def answer(
        self, talk: Talk, step: str, *, expects: str = "turn", n_known: int = 0, **fields: Any
    ) -> Answer:
        """Ask for the next answer and keep it in the conversation."""
        (answer,) = self.answers([talk], step, expects=expects, n_known=n_known, **fields)
        return answer

    def answers(
        self,
        talks: Sequence[Talk],
        step: str,
        *,
        expects: str = "turn",
        n_known: int = 0,
        **fields: Any,
    ) -> list[Answer]:
        """Ask for the next answers of several conversations at once, and keep them.

        Args:
            talks: the conversations.
            step: what is done, for people.
            expects: what has to be found: "turn" all up to where the prompt leaves those before
                it, "head" no more than the head, "" nothing.
            n_known: tokens that a cancelled prefill left, which have to be found too.
            fields: of the request.
        """
        bodies = [self._body(talk, fields) for talk in talks]
        prompts = [self._cold.prompt(body) for body in bodies]
        expected = [
            self._expected(talk.head, prompt, expects, n_known)
            for talk, prompt in zip(talks, prompts, strict=True)
        ]
        with ThreadPoolExecutor(len(bodies)) as pool:
            answers = list(pool.map(lambda body: ask(self.warm.http, body), bodies))
        rewrite = self.dice.random() < 0.5
        told = self.dice.random() < 0.5
        for talk, body, answer, prompt, known in zip(
            talks, bodies, answers, prompts, expected, strict=True
        ):
            self._check(step, talk, body, answer, known)
            message = answer.message
            self._seen.append(prompt + str(message.get("content") or ""))
            if not told:
                message.pop("reasoning_content", None)
            talk.take(message, rewrite=rewrite)
        return answers

    def _body(self, talk: Talk, fields: dict[str, Any]) -> Body:
        max_tokens = self.dice.randint(4, 14)
        if "tool_choice" in fields:
            max_tokens = _CALL_TOKENS
        elif self.dice.random() < _FORCED_SHARE:
            fields = {"ignore_eos": True} | fields
        fields = {"max_tokens": max_tokens} | fields
        return greedy(talk.messages, **talk.head.fields | fields)

    def _check(self, step: str, talk: Talk, body: Body, warm: Answer, expected: Expected) -> None:
        plain = {name: value for name, value in body.items() if name not in ("n", "model")}
        plain["messages"] = talk.plain_messages
        control = None
        if self.dice.random() < _CONTROL_SHARE:
            less = without_words(plain["messages"], _CONTROL_WORDS)
            control = self._cold.submit(plain | {"messages": less})
        cold = self._cold.submit(plain)
        self.checks.append(Check(step, plain, warm, cold, expected, control))

    def cancel(self, talk: Talk, share: float) -> int:
        """Ask for the next answer, and hang up when a share of the prompt is prefilled.

        Returns:
            How many tokens were.
        """
        body = self._body(talk, {})
        n_prompt = self._cold.n_tokens(self._cold.prompt(body))
        n_done = cancel(self.warm.http, body, int(share * n_prompt))
        self.n_cancelled += n_done < n_prompt
        return n_done

    def crash(self, talk: Talk, step: str) -> None:
        """Have the engine killed at some time while it computes the next answer."""
        timer = threading.Timer(self.dice.uniform(0.0, 0.3), self.warm.kill_engine)
        timer.start()
        self.answer(talk, step, expects="")
        timer.join()
        self.n_killed += 1
        self.warm.wait_for_engine(self._n_deaths + self.n_killed)

    @property
    def n_deaths(self) -> int:
        """How many engines died in this case, without those that it killed."""
        return self.warm.n_deaths - self._n_deaths - self.n_killed

    def switch(self) -> None:
        """Have the other model answer something."""
        body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        response = self.warm.http.post("/v1/chat/completions", json=body | {"model": OTHER})
        response.raise_for_status()

    # ------------------------------------------------------------ what has to be found

    def _expected(self, head: Head, prompt: str, expects: str, n_known: int) -> Expected:
        if not expects:
            return Expected(0, n_known)
        n_same = max((_n_common(prompt, seen) for seen in self._seen), default=0)
        begin = self._beginning(head)
        if n_same < len(begin):
            return Expected(0, n_known)
        n_head = self._cold.n_tokens(begin)
        n_turn = self._cold.n_tokens(prompt[:n_same]) if expects == "turn" else 0
        return Expected(n_head, max(n_turn, n_known))

    def expect_shared(self, head: Head, n: int) -> None:
        """Expect that of the last `n` answers, given at once, one prefilled the head for all."""
        last = sorted(self.checks[-n:], key=lambda check: check.warm.n_cached)
        n_head = self._cold.n_tokens(self._beginning(head))
        shared = [replace(check, expected=Expected(n_head)) for check in last[1:]]
        self.checks[-n:] = [last[0], *shared]

    def _beginning(self, head: Head) -> str:
        """Return the text that all prompts with a head begin with."""
        prompts = [
            self._cold.prompt({"messages": [*head.messages, user], **head.fields})
            for user in ({"role": "user", "content": "A"}, {"role": "user", "content": "B"})
        ]
        return prompts[0][: _n_common(*prompts)]


def _n_common(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071 - texts, no paths
