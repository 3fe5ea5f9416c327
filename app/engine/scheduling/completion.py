"""Owns how requests end: the last events to their clients, and what is kept of them."""

from __future__ import annotations

import time

import msgspec

from app.engine.decode.answer import Answer
from app.engine.ipc.outbox import Outbox
from app.engine.kv.disk_tier import Save
from app.engine.kv.save_policy import SavePolicy
from app.engine.llama import Model
from app.engine.prompt.cut_answers import cut_answer
from app.engine.prompt.generated_turns import GeneratedTurn, GeneratedTurns
from app.engine.scheduling.request import Request
from app.engine.scheduling.scheduler import Scheduler
from app.engine.system.throughput import Throughput
from app.errors import DeadlineExceeded, DistillerError
from app.protocol import Chosen, Failed, Finished


class RequestCompletion:
    """Ends requests.

    Args:
        model: whose tokens they are.
        turns: remembers the tokens of finished answers.
        outbox: takes the events.
        scheduler: which requests there are.
        save_policy: saves what will be needed again.
        throughput: learns how long answers are.
        deadline_s: seconds that a request may take; None is no limit.
    """

    def __init__(
        self,
        model: Model,
        turns: GeneratedTurns,
        outbox: Outbox,
        scheduler: Scheduler,
        save_policy: SavePolicy,
        throughput: Throughput,
        *,
        deadline_s: float | None,
    ) -> None:
        self._model = model
        self._turns = turns
        self._outbox = outbox
        self._scheduler = scheduler
        self._save_policy = save_policy
        self._throughput = throughput
        self._deadline_s = deadline_s
        self._saving: list[tuple[Save, Finished]] = []

    @property
    def is_saving(self) -> bool:
        """Whether a prefill waits for the disk."""
        return bool(self._saving)

    def finish(self, request: Request, reason: str) -> None:
        """End a request that got what it asked for."""
        answer = request.answer
        for event in answer.finish(cut=reason == "length") if answer is not None else ():
            self._outbox.post(event)
        finished = Finished(
            request_id=request.request_id,
            reason=reason,
            usage=request.usage(),
            timings=request.timings(time.monotonic()),
            choice=request.choice,
        )
        if answer is None:
            self._finish_prefill(request, finished)
            return
        if reason == "stop" and (answer.has_whole_calls or answer.stopped):
            finished = msgspec.structs.replace(
                finished,
                reason="tool_calls" if answer.has_whole_calls else reason,
                stop_string=answer.stop_string,
            )
        self._throughput.finished(request.n_generated)
        self.post_chosen(request)
        self._outbox.post(finished)
        self._remember(request, is_cut=reason == "length")
        self._release(request, _n_kept(request, answer))

    def post_chosen(self, request: Request) -> None:
        """Post the tokens that were chosen since the last time."""
        if request.chosen:
            self._outbox.post(
                Chosen(request_id=request.request_id, tokens=request.chosen, choice=request.choice)
            )
            request.chosen = []

    def _remember(self, request: Request, *, is_cut: bool) -> None:
        """Keep an answer, so that its tokens are known when it comes back as text.

        What follows a raw prompt is no turn of a conversation.
        """
        generated, answer = request.tokens[request.n_prompt :], request.answer
        if answer is None or not (generated and request.prompt_text):
            return
        if is_cut or answer.stopped:
            cut = cut_answer(map(self._model.piece, generated), answer.stop_string)
            tokens = request.tokens[: request.n_prompt + len(cut.lengths)]
            turn = GeneratedTurn(request.prompt_text, tokens, cut.text, "", cut.lengths)
        else:
            end_text = ""
            if self._model.is_end(generated[-1]):
                end_text = self._model.shown_piece(generated.pop()).decode("utf-8", "replace")
            text = b"".join(map(self._model.piece, generated)).decode("utf-8", "replace")
            tokens = request.tokens[: request.n_prompt + len(generated)]
            turn = GeneratedTurn(request.prompt_text, tokens, text, end_text)
        self._turns.remember(turn)

    def finish_prompt(self, request: Request) -> None:
        """End a request that generates nothing: a prefill, or an answer of no tokens."""
        self.finish(request, "stop" if request.answer is None else "length")

    def _finish_prefill(self, request: Request, finished: Finished) -> None:
        """End a prefill once its prompt is on disk, if there is one."""
        save = self._save_policy.save_prompt(request.tokens, request.profile)
        self._release(request, None)
        if save is None:
            self._outbox.post(finished)
        else:
            self._saving.append((save, finished))

    def finish_saved(self) -> None:
        """End the prefills whose prompts have been written."""
        for save, finished in list(self._saving):
            if save.is_done:
                self._saving.remove((save, finished))
                self._outbox.post(msgspec.structs.replace(finished, saved=save.is_there))
                self._outbox.expedite()

    def fail(self, request: Request, kind: type[DistillerError], message: str) -> None:
        """End all answers to the command that a request belongs to."""
        self._outbox.post(
            Failed(request_id=request.request_id, kind=kind.__name__, message=message)
        )
        for sibling in self._scheduler.find(request.request_id):
            self.retire(sibling)

    def retire(self, request: Request) -> None:
        """Give back what a request holds whose answer, as far as it came, does not come back."""
        self._release(request, request.history.n_without_answer)

    def _release(self, request: Request, n_kept: int | None) -> None:
        self._outbox.expedite()
        if request.slot is not None:
            request.slot.n_kept = n_kept
        self._scheduler.remove(request)
        if request.sampler is not None:
            request.sampler.close()
            request.sampler = None

    def end_overdue(self, now_s: float) -> None:
        """Fail the requests that take longer than they may; profiles take what they need."""
        if self._deadline_s is None:
            return
        received_before_s = now_s - self._deadline_s
        for request in (*self._scheduler.running, *self._scheduler.waiting):
            is_late = request.clock.received_s < received_before_s and not request.profile
            if is_late and self._is_known(request):
                message = f"the request took longer than its deadline of {self._deadline_s:g} s"
                self.fail(request, DeadlineExceeded, message)

    def _is_known(self, request: Request) -> bool:
        return request in self._scheduler.find(request.request_id)


def _n_kept(request: Request, answer: Answer) -> int | None:
    """Return how many leading tokens of a request later prompts begin with; None for all.

    Of an answer that ended at a stop string they have a part.
    """
    history = request.history
    if answer.stopped:
        return history.n_history or None
    return history.n_kept(has_thoughts=answer.has_thoughts, has_calls=answer.has_whole_calls)
