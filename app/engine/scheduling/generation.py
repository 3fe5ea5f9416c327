"""Owns how an answer grows: sampled tokens, tokens that a grammar forces, and draft tokens.

It works on the logits of the decoded batch; must not know how batches are made up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.base.prefix import common_prefix
from app.engine.constrain import GuidedTokens
from app.engine.decode.speculation import MAX_DRAFT_TOKENS, BatchCost, Speculator
from app.engine.ipc.outbox import Outbox
from app.engine.llama import Context, Model
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.request import Request, TokenSampler
from app.engine.scheduling.scheduler import Work
from app.errors import GrammarFailed
from app.protocol import REASONING_ENDED

# More forced tokens than these are decoded like a prompt, in batches of its size.
MAX_AT_ONCE = 32
# Replayed one by one, tokens leave exactly what they left the first time: a batch rounds otherwise,
# and a greedy answer could go on in other words. What takes longer is decoded in batches, but for
# answers with logprobs, which need the logits of every token.
EXACT_REPLAY_S = 0.5


class Generation:
    """Advances requests by the tokens that a batch yields.

    Args:
        model: whose vocabulary it is.
        context: has the logits of the batch.
        outbox: takes what answers consist of.
        completion: ends the requests whose answers are whole.
        can_draft: whether rejected draft tokens can be removed from sequences.
        cost: learns what batches cost; shared by all answers.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        outbox: Outbox,
        completion: RequestCompletion,
        *,
        can_draft: bool,
        cost: BatchCost | None = None,
    ) -> None:
        self._model = model
        self._context = context
        self._outbox = outbox
        self._completion = completion
        self._can_draft = can_draft
        self.cost = cost or BatchCost()

    def begin(self, request: Request) -> None:
        """Tell what is known of the prompt, and write what the answer has to begin with.

        The prompt's logprobs, where they are wanted, are told before anything of the answer.
        """
        if request.is_scored:
            return
        if request.echo is not None:
            self._outbox.post(request.echo.event())
            request.echo = None  # it may be large, and the answer long
        if request.max_new == 0:
            return
        if request.speculates and self._can_draft:
            request.speculator = Speculator(self.cost)
        if request.guide is not None:
            taken = self._with_end(request, request.guide.begin())
            if request.sampler is not None:
                request.sampler.accept(taken.tokens)
            if taken.tokens or taken.is_over:
                self._close_step(request, self._append(request, taken), 1 + len(taken.tokens))

    def end_thoughts(self, request: Request) -> None:
        """End the thoughts of an answer; one that is replayed, or has not begun, ends them then."""
        guide = request.guide
        if guide is None:
            return
        request.chosen.append(REASONING_ENDED)
        if request.replay or not request.clock.started_s:
            request.replay.append(REASONING_ENDED)
            return
        taken = guide.end_thoughts()
        if request.sampler is not None:
            request.sampler.accept(taken.tokens)
        if taken.tokens:
            n_last = request.n_last + len(taken.tokens)
            self._close_step(request, self._append(request, taken), n_last)

    def draft(self, work: Sequence[Work]) -> None:
        """Add draft tokens to the requests of a batch without prefill, as far as it has room.

        A physical batch reuses only what no window reached before it. So all of the step are in
        one: rejected draft tokens leave a sequence with all that its window reaches.
        """
        n_step = sum(item.n_tokens for item in work)
        room = min(self._context.n_ubatch - n_step, MAX_DRAFT_TOKENS)
        for item in work:
            request = item.request
            if request.speculator is None or not item.reaches_end or room < 1:
                continue
            if request.n_past + item.n_tokens in request.checkpoints:
                continue  # the sequence is saved as it is then
            most = min(room, request.max_new - request.n_generated - 1)
            draft = request.speculator.draft(request.tokens, n_step - 1, most)
            if draft and request.guide is not None:
                draft = draft[: request.guide.n_allowed(draft)]
            request.draft = draft
            room -= len(draft)
            n_step += len(draft)

    def score(self, work: Sequence[Work]) -> bool:
        """Note how likely the prompt's tokens of a step were, where somebody wants to know.

        Returns:
            Whether there were such.
        """
        found = []
        row = 0
        for item in work:
            request, echo = item.request, item.request.echo
            if echo is not None and request.is_scored:
                found.append(request)
                first = request.n_past - item.n_tokens
                for at in range(echo.n_rows - first, item.n_tokens):
                    if not echo.is_complete:
                        echo.add(self._context.logits(row + at))
            row += item.n_tokens + len(request.draft)
        for request in found:
            self.begin(request)
        return bool(found)

    def advance(self, request: Request, row: int) -> None:
        """Sample the next token, and go on as long as draft tokens are accepted.

        Args:
            row: of the request's last token; the rows of its draft tokens follow.
        """
        if request.sampler is None or request.answer is None:
            self._completion.finish_prompt(request)
            return
        is_replay = bool(request.replay)
        if is_replay and not request.clock.replay_s:
            request.clock.replay_s = time.monotonic()
        draft, n_accepted = request.draft, 0
        while True:
            n_before = len(request.tokens)
            reason = self._append(request, self._choose(request, row + n_accepted))
            added = request.tokens[n_before:]
            n_same = common_prefix(added, draft[n_accepted:])
            n_accepted += n_same
            if reason or not added or n_same < len(added):
                break
        n_last = len(request.tokens) - request.n_past - n_accepted
        if draft:
            self._accept_draft(request, n_accepted)
        if is_replay:
            is_long = time.monotonic() - request.clock.replay_s > EXACT_REPLAY_S
            if is_long and not reason and request.answer.logprobs is None:
                reason, n_last = self._replay_at_once(request)
            request.n_replayed = request.n_generated
        self._close_step(request, reason, n_last)

    def _replay_at_once(self, request: Request) -> tuple[str, int]:
        """Append the rest of what another engine sampled; it is decoded like a prompt.

        Returns:
            Why the answer ends, if it does, and how many tokens to decode together at last.
        """
        reason, n_last = "", len(request.tokens) - request.n_past
        while request.replay and not reason and request.sampler is not None:
            token = self._replayed(request, request.sampler)
            taken = self._guided(request, token)
            request.sampler.accept(taken.tokens[1:])
            reason, n_last = self._append(request, taken), len(taken.tokens)
        return reason, n_last

    def _choose(self, request: Request, row: int) -> GuidedTokens:
        guide, sampler, answer = request.guide, request.sampler, request.answer
        if sampler is None or answer is None:
            raise RuntimeError("a request without an answer is not sampled")
        mask = guide.mask() if guide is not None else None
        logits = None
        if answer.logprobs is not None:
            logits = self._context.logits(row)
            logits = logits if mask is None else logits.copy()  # as the model made them
        if request.replay:
            token = self._replayed(request, sampler)
        else:
            token = sampler.sample(self._context, row, mask)
            request.chosen.append(token)
            if not request.clock.first_token_s:
                request.clock.first_token_s = time.monotonic()
                self._outbox.expedite()
        held = answer.logprobs
        is_told = held is not None and (held.includes_end or not self._model.is_end(token))
        if held is not None and logits is not None and is_told:
            held.add(token, logits)
        taken = self._guided(request, token)
        if len(taken.tokens) > 1:
            sampler.accept(taken.tokens[1:])
        return taken

    def _replayed(self, request: Request, sampler: TokenSampler) -> int:
        """Return the token that another engine sampled here, and record it as sampled now."""
        token = request.replay.popleft()
        sampler.draw(1)
        sampler.accept([token])
        return token

    def _guided(self, request: Request, token: int) -> GuidedTokens:
        """Return what a chosen token leads to."""
        guide = request.guide
        if guide is None:
            return GuidedTokens([token])
        taken = guide.take_end(token) if self._model.is_end(token) else guide.take(token)
        return self._with_end(request, taken) if request.replay else taken

    def _with_end(self, request: Request, taken: GuidedTokens) -> GuidedTokens:
        """Return tokens, and what ends thoughts where a replay comes to their end."""
        while request.replay and request.replay[0] == REASONING_ENDED and request.guide is not None:
            request.replay.popleft()
            ended = request.guide.end_thoughts()
            taken = GuidedTokens([*taken.tokens, *ended.tokens], taken.is_over or ended.is_over)
        return taken

    def _append(self, request: Request, taken: GuidedTokens) -> str:
        """Add tokens to an answer and send what they complete; return why it ends, if it does."""
        answer = request.answer
        if answer is None:
            raise RuntimeError("a request without an answer does not grow")
        for at, token in enumerate(taken.tokens, start=1):
            request.tokens.append(token)
            if answer.tokens is not None:
                answer.tokens.append(token)
            if self._model.is_end(token):
                return "stop"
            for event in answer.feed(self._model.piece(token)):
                self._outbox.post(event)
            if answer.stopped:
                return "stop"
            if request.n_generated >= request.max_new:
                return "stop" if taken.is_over and at == len(taken.tokens) else "length"
        return "stop" if taken.is_over else ""

    def _accept_draft(self, request: Request, n_accepted: int) -> None:
        """Keep the accepted draft tokens; remove the others from the KV cache.

        Where they cannot be removed, the sequence is empty: it is prefilled again, and this answer
        has no more drafts.
        """
        draft, request.draft = request.draft, []
        if request.speculator is not None:
            request.speculator.record(len(draft), n_accepted, len(request.tokens))
        request.n_past += n_accepted
        slot = request.slot
        if slot is None:
            return
        slot.tokens += draft[:n_accepted]
        if n_accepted < len(draft):
            n_kept = self._context.drop_drafts(slot.seq_id, request.n_past)
            if n_kept < request.n_past:
                request.n_past, request.speculator = n_kept, None
                slot.tokens = request.tokens[:n_kept]

    def _close_step(self, request: Request, reason: str, n_last: int) -> None:
        request.n_last = max(1, min(n_last, MAX_AT_ONCE))
        error = request.guide.error if request.guide is not None else ""
        if error:
            message = f"the answer could not be held to its grammar: {error}"
            self._completion.fail(request, GrammarFailed, message)
        elif reason:
            self._completion.finish(request, reason)
