"""Owns asking one server and counting: what was cached, and what of a prompt was there before."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scripts.benchmark.chat import CHAT_PATH, chat_body
from scripts.benchmark.chat_templates import THOUGHT_END
from scripts.benchmark.http_client import HttpClient, OpenStream, receive
from scripts.benchmark.processes import cpu_ms
from scripts.benchmark.streamed import Streamed

ANSWER_TOKENS = 24
Message = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a request brought.

    Attributes:
        n_prompt: tokens of the prompt.
        n_cached: those that the server says it had.
        n_known: those that a sequence begins with which the server computed before; the last
            token is never among them, since every answer needs it computed.
        ttft_ms: time from sending to the first piece of text, or to the end without one.
        cpu_ms: CPU time of the server's processes for the whole answer; it tells something on a
            busy machine too, but with one thread only, since others wait by computing.
        restore_ms: how long our server says it took to bring back what was cached.
        reply: the answer as the history takes it.
    """

    n_prompt: int
    n_cached: int
    n_known: int
    ttft_ms: float
    cpu_ms: float
    restore_ms: float
    reply: Message

    @property
    def n_missed(self) -> int:
        """Tokens that were there before and were prefilled again."""
        return max(0, self.n_known - self.n_cached)

    @property
    def n_again(self) -> int:
        """Tokens that were prefilled, new or not."""
        return self.n_prompt - self.n_cached

    @property
    def n_new(self) -> int:
        """Tokens that had to be prefilled."""
        return self.n_prompt - self.n_known

    def __str__(self) -> str:
        return f"{self.n_cached}/{self.n_prompt}"


class Renderer:
    """Tells the tokens of a conversation; both servers have the same template and vocabulary."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def prompt(self, messages: Sequence[Message], tools: Sequence[Any]) -> list[int]:
        """Return the tokens of a prompt."""
        body = {"messages": list(messages)} | ({"tools": list(tools)} if tools else {})
        return self.text(str(self._client.post("/apply-template", body)["prompt"]))

    def text(self, text: str) -> list[int]:
        """Return the tokens of a text, special ones included."""
        body = {"content": text, "parse_special": True}
        return list(self._client.post("/tokenize", body)["tokens"])


class Server(Protocol):
    """What is needed of a server that runs."""

    client: HttpClient

    def pids(self) -> list[int]:
        """Return its processes."""


class Talker:
    """Asks one server and remembers every sequence that it has computed.

    Args:
        server: the one to ask.
        renderer: tells the tokens of prompts; None lets the server itself do so.
    """

    def __init__(self, server: Server, renderer: Renderer | None = None) -> None:
        self._known: list[list[int]] = []
        self.reach(server, renderer)

    def reach(self, server: Server, renderer: Renderer | None = None) -> None:
        """Go on with a server after a new start, which is to know what it knew."""
        self.server = server
        self._renderer = renderer or Renderer(server.client)

    def ask(self, messages: Sequence[Message], tools: Sequence[Any] = (), **more: Any) -> Asked:
        """Send one request and return its counts."""
        return self.ask_at_once([messages], tools, **more)[0]

    def ask_at_once(
        self, talks: Sequence[Sequence[Message]], tools: Sequence[Any] = (), **more: Any
    ) -> list[Asked]:
        """Send requests at the same moment; what one of them computes counts for the next ones."""
        before = self._cpu_ms()
        streams = [self.open(messages, tools, **more) for messages in talks]
        receive(streams)
        after = self._cpu_ms()  # a model switch before has changed the processes
        used_ms = sum(total - before.get(pid, 0.0) for pid, total in after.items()) / len(streams)
        pairs = zip(talks, streams, strict=True)
        return [
            self.counted(messages, tools, stream.answer(), used_ms) for messages, stream in pairs
        ]

    def _cpu_ms(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for pid in self.server.pids():
            with contextlib.suppress(OSError):  # it has just ended
                found[pid] = cpu_ms(pid)
        return found

    def open(self, messages: Sequence[Message], tools: Sequence[Any], **more: Any) -> OpenStream:
        """Send one request whose answer is still to be received."""
        options = {"temperature": 0, "max_tokens": ANSWER_TOKENS} | more
        if tools:
            options["tools"] = list(tools)
        body = chat_body(list(messages), options.pop("max_tokens"), **options)
        return self.server.client.open_stream(CHAT_PATH, body)

    def counted(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        answer: Streamed,
        used_ms: float = 0.0,
    ) -> Asked:
        """Return the counts of a request that was opened and is answered."""
        tokens = self._renderer.prompt(messages, tools)
        n_known = max((_n_common(tokens, known) for known in self._known), default=0)
        reply, generated = _reply(answer)
        self._known.append(tokens + self._renderer.text(generated))
        timings: dict[str, Any] = {}
        for _, event in answer.events:
            timings = event.get("timings") or timings
        n_prompt = int(answer.usage["prompt_tokens"])
        return Asked(
            n_prompt=n_prompt,
            n_cached=answer.n_cached,
            n_known=min(n_known, n_prompt - 1),
            ttft_ms=_ttft_ms(answer),
            cpu_ms=used_ms,
            restore_ms=float(timings.get("restore_ms") or 0.0),
            reply=reply,
        )


@dataclass
class Talk:
    """A conversation as a client holds it."""

    talker: Talker
    system: str
    tools: Sequence[Any] = ()
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.messages = self.messages or [{"role": "system", "content": self.system}]

    def say(self, text: str, **more: Any) -> Asked:
        """Take one turn."""
        self.messages.append({"role": "user", "content": text})
        asked = self.talker.ask(self.messages, self.tools, **more)
        self.messages.append(asked.reply)
        return asked

    def edit(self, text: str) -> Asked:
        """Say something else in the last turn, in the place of what was said."""
        del self.messages[-2:]
        return self.say(text)

    def call(self, text: str, name: str, arguments: dict[str, Any], result: str) -> list[Asked]:
        """Take a turn in which a tool is called: two requests.

        Random weights call no tools: what they answer is replaced by the call.
        """
        self.messages.append({"role": "user", "content": text})
        first = self.talker.ask(self.messages, self.tools)
        call = {
            "id": f"call_{len(self.messages)}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        self.messages.append(first.reply | {"content": "", "tool_calls": [call]})
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        second = self.talker.ask(self.messages, self.tools)
        self.messages.append(second.reply)
        return [first, second]


def _n_common(left: list[int], right: list[int]) -> int:
    pairs = zip(left, right, strict=False)
    shorter = min(len(left), len(right))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), shorter)


def _reply(answer: Streamed) -> tuple[Message, str]:
    """Return the answer's message and the text that was generated."""
    deltas = [choice["delta"] for _, event in answer.events for choice in event.get("choices", ())]
    content = "".join(delta.get("content") or "" for delta in deltas)
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    if not thought:
        return {"role": "assistant", "content": content}, content
    generated = thought.strip() + (THOUGHT_END + content if content else "")
    return {"role": "assistant", "content": content, "reasoning_content": thought}, generated


def _ttft_ms(answer: Streamed) -> float:
    first_s = answer.text_times_s[0] if answer.text_times_s else answer.finished_s
    return (first_s - answer.began_s) * 1000.0
