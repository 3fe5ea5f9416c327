"""Owns writing events as OpenAI's legacy completions; no I/O."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from app.api.answering.bodies import timings_body, usage_body
from app.api.dialect import Writer
from app.api.dialects.completions.logprobs import TokenList
from app.api.outcome import Outcome
from app.errors import InvalidRequest
from app.protocol import Finished, Generate, PromptEcho, RequestEvent, TextDelta, TokenLogprobs
from app.web import framing
from app.web.errors import error_body, fault_of

MAX_PROMPT_CHANCES = 1_000_000  # 165 bytes each, all of them until the answer is whole
_NOT_FINISHED = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _CompletionAnswer:
    """The state of one answer."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.tokens = TokenList()
        self._sum_of_logprobs = 0.0
        self._n_generated = 0

    @property
    def mean_logprob(self) -> float:
        """The mean log probability of the generated tokens."""
        return self._sum_of_logprobs / max(1, self._n_generated)

    def echo(self, event: PromptEcho) -> None:
        """Begin with the prompt."""
        self.tokens.add_prompt(event)

    def add(self, event: TokenLogprobs) -> None:
        """Add generated tokens."""
        self.tokens.add(event.tokens)
        self._sum_of_logprobs += sum(token.logprob for token in event.tokens)
        self._n_generated += len(event.tokens)


class CompletionWriter(Writer):
    """The answers to one request for completions, as a whole or in chunks.

    Args:
        reply_id: `cmpl-…`.
        model: name of the model, as the answer gives it.
        fingerprint: llama.cpp build and model digest.
        commands: the commands sent to the engine; if they have more than `n` answers, the `n` with
            the highest mean logprob are returned.
        shows_logprobs: whether logprobs are returned.
        includes_usage: whether a chunk with the token counts ends a stream.
    """

    def __init__(
        self,
        reply_id: str,
        model: str,
        fingerprint: str,
        commands: Sequence[Generate],
        *,
        n: int,
        shows_logprobs: bool,
        includes_usage: bool = False,
    ) -> None:
        self._choices = [[_CompletionAnswer() for _ in range(command.n)] for command in commands]
        self._echoes = commands[0].echo
        self._n = n
        self._shows_logprobs = shows_logprobs
        self._includes_usage = includes_usage
        self._n_prompt_chances = 0
        self._base = {
            "id": reply_id,
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }
        self._chunk_head = b"data: " + msgspec.json.encode(self._base)[:-1] + b',"choices":['

    # ------------------------------------------------------------ streamed

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the chunk for one event."""
        match event:
            case TextDelta() if self._shows_logprobs:
                return self._chunk(prompt_no, event.choice, event.text)
            case TextDelta():
                index = prompt_no * self._n + event.choice
                text = msgspec.json.encode(event.text)
                return b'%b{"text":%b,"index":%d%b' % (self._chunk_head, text, index, _NOT_FINISHED)
            case TokenLogprobs():
                self._choices[prompt_no][event.choice].add(event)
            case PromptEcho() if self._echoes:
                return self._echo(prompt_no, event)
            case Finished():
                tail = b',"timings":' + msgspec.json.encode(timings_body(event.timings))
                return self._chunk(prompt_no, event.choice, "", event.reason, tail)
            case _:
                pass
        return b""

    def end(self, outcome: Outcome) -> bytes:
        """Return the chunk that `stream_options.include_usage` asks for, and the end."""
        if not self._includes_usage:
            return framing.DONE
        usage = msgspec.json.encode(usage_body(outcome.usage))
        return self._chunk_head + b'],"usage":' + usage + b"}\n\n" + framing.DONE

    def error(self, error: Exception) -> bytes:
        """Return the event that ends a stream with an error."""
        return framing.frame(msgspec.json.encode(error_body(fault_of(error)))) + framing.DONE

    def _echo(self, prompt_no: int, event: PromptEcho) -> bytes:
        chunks = []
        for number, choice in enumerate(self._choices[prompt_no]):
            choice.echo(event)
            chunks.append(self._chunk(prompt_no, number, event.text))
        return b"".join(chunks)

    def _chunk(
        self, prompt_no: int, number: int, text: str, reason: str | None = None, tail: bytes = b""
    ) -> bytes:
        tokens = self._choices[prompt_no][number].tokens
        body = {
            "text": text,
            "index": prompt_no * self._n + number,
            "logprobs": None if tokens.is_empty or not self._shows_logprobs else tokens.take(),
            "finish_reason": reason,
        }
        return self._chunk_head + msgspec.json.encode(body) + b"]" + tail + b"}\n\n"

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to its answer.

        Raises:
            InvalidRequest: logprobs of all prompts together are more than are kept.
        """
        choices = self._choices[prompt_no]
        match event:
            case TextDelta():
                choices[event.choice].text.append(event.text)
            case TokenLogprobs():
                choices[event.choice].add(event)
            case PromptEcho() if self._echoes:
                self._check_size(event, len(choices))
                for choice in choices:
                    choice.echo(event)
                    choice.text.append(event.text)
            case _:
                pass

    def _check_size(self, event: PromptEcho, n_choices: int) -> None:
        n_chances = sum(1 + len(token.top) for token in event.tokens)
        self._n_prompt_chances += n_chances * n_choices
        if self._n_prompt_chances > MAX_PROMPT_CHANCES:
            raise InvalidRequest(
                "logprobs: the prompts have too many tokens for one answer; ask for fewer prompts, "
                "or for a stream",
                param="logprobs",
            )

    def whole(self, outcome: Outcome) -> bytes:
        """Return the body of a response that is not streamed."""
        bodies: list[dict[str, Any]] = []
        for prompt_no, choices in enumerate(self._choices):
            for number in self._best(choices):
                choice = choices[number]
                bodies.append(
                    {
                        "text": "".join(choice.text),
                        "index": len(bodies),
                        "logprobs": choice.tokens.take() if self._shows_logprobs else None,
                        "finish_reason": outcome.finished(prompt_no, number).reason,
                    }
                )
        body = {
            **self._base,
            "choices": bodies,
            "usage": usage_body(outcome.usage),
            "timings": timings_body(outcome.timings),
        }
        return msgspec.json.encode(body)

    def _best(self, choices: list[_CompletionAnswer]) -> list[int]:
        """Return the numbers of the answers that the client gets."""
        numbers = list(range(len(choices)))
        if len(choices) > self._n:
            numbers.sort(key=lambda number: choices[number].mean_logprob, reverse=True)
        return numbers[: self._n]
