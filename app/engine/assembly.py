"""Owns how the parts of an engine fit together around a loaded model."""

from __future__ import annotations

from app.engine.channel import Channel
from app.engine.constraint import Compiler
from app.engine.endings import Endings
from app.engine.generation import Generation
from app.engine.guidance import Guidance
from app.engine.idle_store import IdleStore
from app.engine.inbox import Inbox
from app.engine.keeper import Keeper
from app.engine.llama import Context, Model
from app.engine.loop import EngineLoop
from app.engine.open_disk import open_disk
from app.engine.pace import Pace
from app.engine.prompts import PromptBuilder
from app.engine.residency import Residency
from app.engine.scheduler import Scheduler
from app.engine.sequences import SequencePool
from app.protocol import Load

_MIB = 1024 * 1024


def build_loop(
    command: Load,
    channel: Channel,
    model: Model,
    context: Context,
    prompts: PromptBuilder,
    compiler: Compiler | None,
) -> EngineLoop:
    """Return a loop that is ready to run."""
    queue, n_ctx = command.queue, context.n_ctx
    pool = SequencePool(queue.parallel)
    scheduler = Scheduler(
        pool,
        parallel=queue.parallel,
        max_queue=queue.max_queue,
        n_batch=context.n_batch,
        n_ctx=n_ctx,
    )
    pace = Pace(target_s=queue.step_target_ms / 1000.0, n_batch=context.n_batch)
    can_cut = not model.is_recurrent
    store = IdleStore(queue.idle_cache_mb * _MIB, can_cut=can_cut)
    disk = open_disk(command, model, prompts.turns, is_busy=lambda: not scheduler.is_idle)
    residency = Residency(context, pool, store, disk, pace, can_cut=can_cut)
    keeper = Keeper(residency, save_after_s=command.cache.save_after_s)
    guidance = Guidance(model, compiler, prompts.tool_format, prompts.reasoning)
    inbox = Inbox(
        model, prompts, guidance, scheduler, channel, pace, residency, keeper, n_ctx=n_ctx
    )
    deadline_s = queue.request_deadline_s
    endings = Endings(channel, scheduler, keeper, pace, inbox.remember, deadline_s=deadline_s)
    can_guess = can_cut and not model.n_swa
    generation = Generation(model, context, channel, endings, can_guess=can_guess)
    return EngineLoop(
        model,
        context,
        channel,
        inbox,
        scheduler,
        residency,
        keeper,
        pace,
        endings,
        generation,
        stream_interval_s=queue.stream_interval_ms / 1000.0,
    )
