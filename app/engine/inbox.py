"""Owns what each command means: turns it into a queued request or answers it at once."""

from __future__ import annotations

import time

from app.engine.answer import Answer
from app.engine.channel import Channel
from app.engine.llama import Model
from app.engine.prompts import PromptBuilder
from app.engine.request import Clock, Request
from app.engine.scheduler import Scheduler
from app.errors import DistillerError
from app.protocol import (
    Cancel,
    Command,
    Detokenize,
    Failed,
    Generate,
    Load,
    Prefill,
    SamplingParams,
    Shutdown,
    Text,
    TokenIds,
    Tokenize,
)


class Inbox:
    """Handles commands between two steps of the loop."""

    def __init__(
        self,
        model: Model,
        prompts: PromptBuilder,
        scheduler: Scheduler,
        channel: Channel,
        *,
        n_ctx: int,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._scheduler = scheduler
        self._channel = channel
        self._n_ctx = n_ctx
        self.shutdown = False

    def handle(self, command: Command) -> list[Request]:
        """Act on one command.

        Returns:
            Requests that were cancelled and are to be retired by the loop.
        """
        match command:
            case Generate() | Prefill():
                self._submit(command)
            case Cancel():
                found = self._scheduler.find(command.request_id)
                return [found] if found else []
            case Tokenize():
                self._tokenize(command)
            case Detokenize():
                self._detokenize(command)
            case Shutdown():
                self.shutdown = True
            case Load():
                raise ValueError("an engine loads one model, once")
        return []

    def _submit(self, command: Generate | Prefill) -> None:
        received_s = time.monotonic()
        try:
            tokens = self._prompts.build(command)
        except DistillerError as error:
            self._channel.post(
                Failed(
                    request_id=command.request_id,
                    kind=type(error).__name__,
                    message=error.message,
                    param=error.param,
                )
            )
            return
        request = Request(
            request_id=command.request_id,
            tokens=tokens,
            n_prompt=len(tokens),
            max_new=0,
            sampling=SamplingParams(),
            clock=Clock(received_s=received_s),
        )
        if isinstance(command, Generate):
            room = self._n_ctx - len(tokens)
            request.max_new = min(command.max_tokens or room, room)
            request.sampling = command.sampling
            request.answer = Answer(command.request_id, command.stop, self._prompts.parser(command))
        self._scheduler.submit(request)

    def _tokenize(self, command: Tokenize) -> None:
        tokens = self._model.tokenize(
            command.text, add_special=command.add_special, parse_special=command.parse_special
        )
        pieces = [self._model.piece(token) for token in tokens] if command.with_pieces else None
        self._channel.post(TokenIds(request_id=command.request_id, tokens=tokens, pieces=pieces))

    def _detokenize(self, command: Detokenize) -> None:
        try:
            text = self._model.detokenize(command.tokens)
        except ValueError as error:
            self._channel.post(
                Failed(
                    request_id=command.request_id,
                    kind="InvalidRequest",
                    message=str(error),
                    param="tokens",
                )
            )
            return
        self._channel.post(Text(request_id=command.request_id, text=text))
