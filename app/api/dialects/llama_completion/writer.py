"""Owns writing events as llama-server's completions; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.api.dialect import Writer
from app.api.dialects.llama_completion.bodies import (
    end_body,
    native_timings_body,
    probabilities_body,
    selected,
    settings_body,
)
from app.api.dialects.llama_completion.errors import native_error_body
from app.api.outcome import Outcome
from app.protocol import (
    Finished,
    Generate,
    PromptEcho,
    PromptProgress,
    RequestEvent,
    Started,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    TokensGenerated,
)
from app.web import framing
from app.web.errors import fault_of


class _Prompt:
    """The state of one prompt."""

    def __init__(self) -> None:
        self.text = ""
        self.n_tokens = 0


class _NativeAnswer:
    """The state of one answer."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.n_tokens = 0
        self.has_new_line = False

    def take_tokens(self) -> list[int]:
        """Return the ids that were not taken yet."""
        taken, self.tokens = self.tokens, []
        return taken

    def take_logprobs(self) -> list[TokenLogprob]:
        """Return the logprobs that were not taken yet."""
        taken, self.logprobs = self.logprobs, []
        return taken


class NativeWriter(Writer):
    """The answers to one request, as a whole or in events.

    Args:
        model: name of the model, as the answer gives it.
        n_ctx: its context in tokens.
        commands: the commands sent to the engine, one for each prompt.
        streams: whether the answer is streamed.
        id_slot: the slot to report, as sent by the client.
        response_fields: the fields to return; empty means all.
    """

    def __init__(
        self,
        model: str,
        n_ctx: int,
        commands: Sequence[Generate],
        *,
        streams: bool,
        id_slot: int = -1,
        response_fields: Sequence[str] = (),
    ) -> None:
        self._model = model
        self._n_ctx = n_ctx
        self._commands = commands
        self._streams = streams
        self._id_slot = id_slot
        self._fields = response_fields
        self._prompts = [_Prompt() for _ in commands]
        self._answers = [[_NativeAnswer() for _ in range(command.n)] for command in commands]

    def _note(self, prompt_no: int, event: RequestEvent) -> None:
        """Record what is sent with the next event, or with the whole answer."""
        prompt, answers = self._prompts[prompt_no], self._answers[prompt_no]
        match event:
            case Started():
                prompt.n_tokens = event.prompt_tokens
            case PromptEcho():
                prompt.text = event.text
            case TokensGenerated():
                answers[event.choice].tokens += event.tokens
                answers[event.choice].n_tokens += len(event.tokens)
            case TokenLogprobs():
                answers[event.choice].logprobs += event.tokens
            case TextDelta():
                answers[event.choice].has_new_line |= "\n" in event.text
            case _:
                pass

    # ------------------------------------------------------------ streamed

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the event for one of the engine's."""
        self._note(prompt_no, event)
        match event:
            case TextDelta():
                return _framed(self._part(prompt_no, event.choice, event.text))
            case PromptProgress():
                progress = {
                    "total": event.total,
                    "cache": event.cache,
                    "processed": event.processed,
                    "time_ms": event.time_ms,
                }
                return _framed(self._part(prompt_no, 0, "") | {"prompt_progress": progress})
            case Finished():
                return _framed(self._result(prompt_no, event, ""))
            case _:
                return b""

    def end(self, outcome: Outcome) -> bytes:
        """Return nothing: the last result ends the stream."""
        return b""

    def error(self, error: Exception) -> bytes:
        """Return the event that ends a stream with an error."""
        return _framed(native_error_body(fault_of(error)))

    def _part(self, prompt_no: int, number: int, text: str) -> dict[str, Any]:
        answer = self._answers[prompt_no][number]
        body = {
            "index": self._index(prompt_no, number),
            "content": text,
            "tokens": answer.take_tokens(),
            "stop": False,
            "id_slot": self._id_slot,
            "tokens_predicted": answer.n_tokens,
            "tokens_evaluated": self._prompts[prompt_no].n_tokens,
        }
        if self._commands[prompt_no].n_logprobs is not None:
            body["completion_probabilities"] = probabilities_body(answer.take_logprobs())
        return body

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to its answer."""
        self._note(prompt_no, event)
        if isinstance(event, TextDelta):
            self._answers[prompt_no][event.choice].text.append(event.text)

    def whole(self, outcome: Outcome) -> bytes:
        """Return the body of a response that is not streamed: one result, or a list of several."""
        results = [
            self._result(prompt_no, outcome.finished(prompt_no, number), "".join(answer.text))
            for prompt_no, answers in enumerate(self._answers)
            for number, answer in enumerate(answers)
        ]
        return msgspec.json.encode(results if len(results) > 1 else results[0])

    def _result(self, prompt_no: int, finished: Finished, content: str) -> dict[str, Any]:
        command = self._commands[prompt_no]
        answer = self._answers[prompt_no][finished.choice]
        usage = finished.usage
        body = {
            "index": self._index(prompt_no, finished.choice),
            "content": content,
            "tokens": answer.take_tokens(),
            "id_slot": self._id_slot,
            "stop": True,
            "model": self._model,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "generation_settings": settings_body(command, n_ctx=self._n_ctx, stream=self._streams),
            "prompt": self._prompts[prompt_no].text,
            "has_new_line": answer.has_new_line,
            **end_body(finished, command),
            "tokens_cached": usage.cached_tokens,
            "timings": native_timings_body(finished.timings),
        }
        if command.n_logprobs is not None:
            body["completion_probabilities"] = probabilities_body(answer.take_logprobs())
        return selected(body, self._fields)

    def _index(self, prompt_no: int, number: int) -> int:
        return prompt_no * self._commands[prompt_no].n + number


def _framed(body: dict[str, Any]) -> bytes:
    return framing.frame(msgspec.json.encode(body))
