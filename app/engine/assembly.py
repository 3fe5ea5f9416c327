"""Owns how the parts of an engine fit together around a loaded model."""

from __future__ import annotations

from app.engine.changing_heads import ChangingHeads
from app.engine.constrain import Compiler
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.ipc.channel import Channel
from app.engine.ipc.outbox import Outbox
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.open_disk_tier import open_disk
from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import SequencePool
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Context, Model, StateLayout
from app.engine.prompt.builder import PromptBuilder
from app.engine.scheduling.admission import Admission
from app.engine.scheduling.batch_runner import BatchRunner
from app.engine.scheduling.command_handler import CommandHandler
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.generation import Generation
from app.engine.scheduling.interrupt import Interrupt
from app.engine.scheduling.loop import EngineLoop
from app.engine.scheduling.scheduler import Scheduler
from app.engine.scheduling.stats import StatsReporter
from app.engine.scheduling.undo import Undo, undo_of
from app.engine.system.throughput import Throughput
from app.protocol import Load, LogLine

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
    queue = command.queue
    scheduler, kv_cache, throughput = _memory(command, channel, model, context, prompts)
    save_policy = SavePolicy(kv_cache, save_after_s=command.cache.disk_save_after_s)
    planner = ConstraintPlanner(
        model, compiler, prompts.tool_format, prompts.reasoning, prompts.marks
    )
    heads = ChangingHeads(model.shown_piece, lambda: throughput.prefill_tokens_per_s)
    outbox = Outbox(channel, queue.stream_interval_ms / 1000.0)
    interrupt = Interrupt(channel)
    command_handler = CommandHandler(
        model,
        prompts,
        planner,
        scheduler,
        outbox,
        throughput,
        kv_cache,
        save_policy,
        heads,
        n_ctx=context.n_ctx,
    )
    completion = RequestCompletion(
        model,
        prompts.turns,
        outbox,
        scheduler,
        save_policy,
        throughput,
        deadline_s=queue.request_deadline_s,
    )
    can_draft = not undo(model, context).no_drafts
    generation = Generation(model, context, outbox, completion, can_draft=can_draft)
    return EngineLoop(
        channel,
        interrupt,
        outbox,
        command_handler,
        scheduler,
        Admission(model, scheduler, kv_cache, save_policy, generation, completion, outbox, heads),
        BatchRunner(
            context, scheduler, kv_cache, throughput, generation, completion, outbox, interrupt
        ),
        completion,
        save_policy,
        StatsReporter(scheduler, kv_cache, throughput, outbox, heads),
    )


def _memory(
    command: Load, channel: Channel, model: Model, context: Context, prompts: PromptBuilder
) -> tuple[Scheduler, KvCache, Throughput]:
    """Return who gets sequences of the KV cache, what they hold, and what filling them costs."""
    queue = command.queue
    pool = SequencePool(queue.parallel)
    can_cut = not model.is_recurrent
    shape = _shape(context.layout, context.layout_error)
    store = MemoryStore(queue.idle_cache_mb * _MIB, shape)
    if shortage := shape.shortage(store.capacity_bytes):
        channel.post(LogLine(level="info", source="engine", text=shortage))
    scheduler = Scheduler(
        pool,
        parallel=queue.parallel,
        max_queue=queue.max_queue,
        n_batch=context.n_batch,
        n_ctx=context.n_ctx,
        can_cut=shape.can_cut,
        n_cached=lambda tokens: kv_cache.n_in_memory(tokens),
        read_ahead=lambda tokens, n_live: kv_cache.read_ahead(tokens, n_live),
    )
    throughput = Throughput(target_s=queue.step_target_ms / 1000.0, n_batch=context.n_batch)
    disk = open_disk(command, model, shape, prompts.turns, is_busy=lambda: not scheduler.is_idle)
    kv_cache = KvCache(context, pool, store, disk, throughput, shape=shape, can_cut=can_cut)
    return scheduler, kv_cache, throughput


def undo(model: Model, context: Context) -> Undo:
    """Return what of a step can be undone; the context has learned its layout, if it can."""
    knows_windows = context.layout is not None and bool(context.layout.windows)
    return undo_of(
        is_recurrent=model.is_recurrent,
        n_rollback=model.n_rollback,
        n_swa=model.n_swa,
        knows_windows=knows_windows,
    )


def _shape(layout: StateLayout | None, layout_error: str) -> StateShape:
    """Return what of a model's state is kept how; as a whole where its layout is not known."""
    if layout is None:
        return StateShape(0, is_whole=True, whole_reason=layout_error)
    return StateShape(
        token_bytes=layout.token_bytes,
        window_token_bytes=layout.window_token_bytes,
        n_window=layout.n_swa if layout.windows else 0,
        state_bytes=layout.recurrent_bytes,
    )
