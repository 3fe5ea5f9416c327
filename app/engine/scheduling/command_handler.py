"""Owns handling commands: each becomes a queued request or is answered at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from app.chat.parsing.stream_parser import PlainParser
from app.engine.changing_heads import ChangingHeads
from app.engine.constrain import Guide
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.decode.answer import Answer
from app.engine.decode.logprobs import HeldLogprobs
from app.engine.decode.prompt_echo import Echo
from app.engine.ipc.outbox import Outbox
from app.engine.kv.cache_report import cache_report
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.save_policy import SavePolicy
from app.engine.llama import Model
from app.engine.prompt.builder import Prompt, PromptBuilder
from app.engine.scheduling.request import Clock, Request
from app.engine.scheduling.scheduler import Scheduler
from app.engine.system.heap import give_back_memory
from app.engine.system.throughput import Throughput
from app.errors import ContextOverflow, DistillerError, InvalidRequest, QueueFull
from app.protocol import (
    Accepted,
    CacheCleared,
    ClearCache,
    Command,
    CountTokens,
    DescribeCache,
    Detokenize,
    Failed,
    Generate,
    KeepProfiles,
    Load,
    MemoryTrimmed,
    Prefill,
    Render,
    SamplingParams,
    Text,
    TokenCount,
    TokenIds,
    Tokenize,
    TrimMemory,
)

_SEED_MASK = 0x7FFFFFFF
# 150 bytes each until the prompt is read; the host may write them once for each answer.
_MAX_PROMPT_CHANCES = 250_000


class CommandHandler:
    """Handles commands between two steps of the loop."""

    def __init__(
        self,
        model: Model,
        prompts: PromptBuilder,
        planner: ConstraintPlanner,
        scheduler: Scheduler,
        outbox: Outbox,
        throughput: Throughput,
        kv_cache: KvCache,
        save_policy: SavePolicy,
        heads: ChangingHeads,
        *,
        n_ctx: int,
    ) -> None:
        self._model = model
        self._kv_cache = kv_cache
        self._save_policy = save_policy
        self._prompts = prompts
        self._planner = planner
        self._scheduler = scheduler
        self._outbox = outbox
        self._throughput = throughput
        self._heads = heads
        self._n_ctx = n_ctx

    def handle(self, command: Command) -> None:
        """Act on one command; `Cancel` and `Shutdown` are the loop's own.

        Raises:
            ValueError: a second `Load`.
        """
        match command:
            case Generate() | Prefill():
                self._submit(command)
            case Render():
                self._render(command)
            case CountTokens():
                self._count_tokens(command)
            case Tokenize():
                self._tokenize(command)
            case Detokenize():
                self._detokenize(command)
            case DescribeCache():
                heads = self._heads.found
                self._outbox.post(cache_report(self._kv_cache, command.request_id, heads))
            case ClearCache():
                self._clear_cache(command.request_id)
            case TrimMemory():
                self._trim_memory(command.request_id)
            case KeepProfiles():
                self._kv_cache.disk.keep_profiles(set(command.names))
            case Load():
                raise ValueError("an engine loads one model, once")
            case _:
                pass

    def _submit(self, command: Generate | Prefill) -> None:
        received_s = command.sent_s or time.monotonic()
        n_requests = command.n if isinstance(command, Generate) else 1
        try:
            if not _has_room(command) and not self._scheduler.can_take(n_requests):
                raise QueueFull(self._throughput.retry_after_s(self._scheduler.waiting))
            prompt = self._prompts.build(command)
            requests = self._requests(command, prompt, received_s)
        except DistillerError as error:
            self._outbox.post(_failed(command.request_id, error))
            return
        self._outbox.post(Accepted(request_id=command.request_id))
        for request in requests:
            self._scheduler.submit(request)

    def _requests(
        self, command: Generate | Prefill, prompt: Prompt, received_s: float
    ) -> list[Request]:
        """Return a request for each answer that the command asks for; the first one leads."""
        if isinstance(command, Prefill):
            request = _request(command, prompt, received_s)
            request.profile = command.profile
            return [request]
        room = self._n_ctx - len(prompt.tokens)
        plan = self._planner.plan(command, prompt.text, prompt.conversation.tools)
        requests: list[Request] = []
        for choice in range(command.n):
            request = _request(command, prompt, received_s)
            request.max_new = min(_limit(command, room), room)
            request.sampling = _varied(command.sampling, choice)
            if plan is not None and plan.whole is not None:  # it says where the answer ends
                request.sampling = msgspec.structs.replace(request.sampling, ignore_eos=False)
            request.choice = choice
            request.leader = requests[0] if requests else None
            request.explains = command.explain_cache and choice == 0
            if choice == 0 and (command.echo or command.prompt_logprobs is not None):
                request.echo = self._echo(command, prompt)
            request.report_progress = command.report_progress and choice == 0
            request.answer = self._answer(command, choice, prompt, request.tokens)
            request.guide = Guide(plan) if plan is not None else None
            request.speculates = command.speculate
            if command.resumes is not None:
                request.replay.extend(command.resumes[choice])
            requests.append(request)
        return requests

    def _answer(
        self, command: Generate, choice: int, prompt: Prompt, tokens: Sequence[int]
    ) -> Answer:
        request_id, n_top = command.request_id, command.n_logprobs
        logprobs = None
        if n_top is not None:
            logprobs = HeldLogprobs(
                request_id,
                choice,
                n_top,
                self._model.shown_piece,
                includes_end=command.prompt_logprobs is not None,
            )
        parser = self._prompts.parser(command, prompt)
        is_split = command.reasoning.is_split
        return Answer(
            request_id,
            command.stop,
            parser,
            choice=choice,
            logprobs=logprobs,
            reports_tokens=command.report_tokens,
            shown_closing="" if is_split else self._prompts.closing_of_thoughts,
            generated=tokens if is_split and not isinstance(parser, PlainParser) else None,
        )

    def _echo(self, command: Generate, prompt: Prompt) -> Echo:
        model, raw = self._model, command.prompt
        text = prompt.text
        if raw is not None:
            text = model.detokenize(prompt.tokens) if raw.text is None else raw.text
        n_top = command.prompt_logprobs
        n_chances = 0 if n_top is None else len(prompt.tokens) * (1 + n_top) * command.n
        if n_chances > _MAX_PROMPT_CHANCES:
            raise InvalidRequest(
                f"logprobs: {n_top} for each of {len(prompt.tokens)} tokens of the prompt are too "
                f"many for {command.n} answers; all together may be {_MAX_PROMPT_CHANCES}",
                param="logprobs",
            )
        with_ids = command.report_tokens and raw is None
        piece = model.shown_piece
        return Echo(command.request_id, text, prompt.tokens, n_top, piece, with_ids=with_ids)

    def _clear_cache(self, request_id: str) -> None:
        self._prompts.turns.clear()
        self._prompts.forget()
        self._heads.forget()
        self._save_policy.forget()
        entries, n_bytes = self._kv_cache.forget()
        self._outbox.post(CacheCleared(request_id=request_id, entries=entries, bytes=n_bytes))

    def _trim_memory(self, request_id: str) -> None:
        entries, n_bytes = self._save_policy.trim()
        self._planner.forget()
        self._prompts.forget()
        self._model.dry.forget()
        give_back_memory()
        self._outbox.post(MemoryTrimmed(request_id=request_id, entries=entries, bytes=n_bytes))

    def _render(self, command: Render) -> None:
        try:
            text = self._prompts.render(command)
        except DistillerError as error:
            self._outbox.post(_failed(command.request_id, error))
            return
        self._outbox.post(Text(request_id=command.request_id, text=text))

    def _count_tokens(self, command: CountTokens) -> None:
        try:
            n_tokens = self._prompts.count(command)
        except DistillerError as error:
            self._outbox.post(_failed(command.request_id, error))
            return
        self._outbox.post(TokenCount(request_id=command.request_id, n_tokens=n_tokens))

    def _tokenize(self, command: Tokenize) -> None:
        tokens = self._model.tokenize(
            command.text, add_special=command.add_special, parse_special=command.parse_special
        )
        pieces = (
            [self._model.shown_piece(token) for token in tokens] if command.with_pieces else None
        )
        self._outbox.post(TokenIds(request_id=command.request_id, tokens=tokens, pieces=pieces))

    def _detokenize(self, command: Detokenize) -> None:
        try:
            text = self._model.detokenize(command.tokens)
        except ValueError as error:
            refused = InvalidRequest(str(error), param="tokens")
            self._outbox.post(_failed(command.request_id, refused))
            return
        self._outbox.post(Text(request_id=command.request_id, text=text))


def _request(command: Generate | Prefill, prompt: Prompt, received_s: float) -> Request:
    # Behind tokens of earlier turns, no text is the whole prompt.
    is_later = isinstance(command, Generate) and bool(command.context)
    return Request(
        request_id=command.request_id,
        tokens=list(prompt.tokens),
        n_prompt=len(prompt.tokens),
        prompt_text="" if is_later else prompt.text,
        n_system=prompt.n_system,
        places=prompt.places,
        marks=prompt.marks,
        history=prompt.history,
        max_new=0,
        sampling=SamplingParams(),
        clock=Clock(received_s=received_s),
    )


def _limit(command: Generate, room: int) -> int:
    """Return how many tokens are wanted; 0 only means none behind a raw prompt."""
    if command.max_tokens is None or (command.max_tokens == 0 and command.prompt is None):
        return room
    return command.max_tokens


def _varied(sampling: SamplingParams, choice: int) -> SamplingParams:
    """Return the parameters of one of several answers: each draws with a seed of its own."""
    if sampling.seed is None or choice == 0:
        return sampling
    return msgspec.structs.replace(sampling, seed=(sampling.seed + choice) & _SEED_MASK)


def _has_room(command: Generate | Prefill) -> bool:
    """Return whether a request, or one that it is a part of, found room in the queue before."""
    return isinstance(command, Generate) and (command.is_admitted or command.resumes is not None)


def _failed(request_id: str, error: DistillerError) -> Failed:
    overflow = error if isinstance(error, ContextOverflow) else None
    return Failed(
        request_id=request_id,
        kind=type(error).__name__,
        message=error.message,
        param=error.param,
        retry_after_s=error.retry_after_s if isinstance(error, QueueFull) else None,
        requested=overflow.requested if overflow is not None else None,
        n_ctx=overflow.n_ctx if overflow is not None else None,
    )
