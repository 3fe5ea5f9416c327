"""Owns the start of the engine process: `python -m app.engine.main FD`.

FD is the inherited end of a socketpair. The first command is `Load`; the process ends on
`Shutdown`, or when the other end closes.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.engine.assembly import build_loop, undo
from app.engine.constrain import Compiler, build_tokenizer
from app.engine.decode.sampling import stages
from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.engine.ipc.channel import Channel, ChannelClosed
from app.engine.ipc.log_relay import LogRelay
from app.engine.llama import (
    Context,
    DecodeFailed,
    Model,
    Sampler,
    because,
    build_version,
    route_logs,
)
from app.engine.prompt.builder import PromptBuilder
from app.engine.scheduling.loop import EngineLoop
from app.engine.system.file_digest import file_digest
from app.engine.system.heap import give_back_memory
from app.engine.system.threads import default_threads
from app.errors import DistillerError, LoadParamsRefused, ModelLoadFailed, TemplateRefused
from app.protocol import (
    Load,
    Loaded,
    LoadFailed,
    LoadProgress,
    LogLine,
    ModelInfo,
    SamplingParams,
)

_PROGRESS_STEP = 0.02


def main(argv: list[str]) -> int:
    """Serve one model on the socket whose descriptor is `argv[1]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=int(argv[1])))
    try:
        command, *rest = channel.wait()
        if not isinstance(command, Load):
            return 0
        loop = _load(command, channel)
        if loop is None:
            return 3
        try:
            loop.run(rest)
        finally:
            channel.flush()
    except ChannelClosed:
        pass
    return 0


def _load(command: Load, channel: Channel) -> EngineLoop | None:
    began_s = time.monotonic()
    verbose = command.params.verbose
    route_logs(LogRelay(channel, verbose=verbose).take)
    try:
        loop, info = _build(command, channel, began_s)
    except DistillerError as error:
        param = error.param if isinstance(error, LoadParamsRefused) else None
        if isinstance(error, TemplateRefused) and command.params.chat_template:
            param = "load_model_configs.chat_template"
        channel.post(LoadFailed(message=error.message, param=param))
        channel.flush()
        return None
    route_logs(LogRelay(channel, verbose=verbose, request_ids=loop.request_ids).take)
    channel.post(Loaded(info=info))
    channel.flush()
    return loop


def _build(command: Load, channel: Channel, began_s: float) -> tuple[EngineLoop, ModelInfo]:
    path, params = Path(command.model_path), command.params
    model = Model(path, params, _progress_reporter(channel))
    context = Context(
        model,
        params,
        n_seq_max=command.queue.n_seq_max,
        n_threads=default_threads(),
        n_more_outputs=MAX_DRAFT_TOKENS,
        n_rollback=model.n_rollback,
    )
    source = params.chat_template or model.chat_template
    is_text = params.special_tokens_in_content == "text"
    prompts = PromptBuilder(
        model,
        source,
        n_ctx=context.n_ctx,
        tool_format=params.tool_format,
        special_tokens=model.special_tokens() if is_text else (),
        finds_places=model.is_recurrent or model.n_swa > 0,
        split_rules=model.split_rules(),
        system_prompt=params.system_prompt,
    )
    model.show_special(prompts.tags)
    with ThreadPoolExecutor(1) as aside:  # the weights come from the disk meanwhile
        preparing = aside.submit(prompts.prepare)
        making = aside.submit(_compiler, model, channel)
        try:
            _warm_up(model, context)
        except DecodeFailed as error:
            why = f"llama.cpp could not run '{path.name}': {error}{because()}"
            raise ModelLoadFailed(why) from error
    preparing.result()
    if context.layout_error:
        text = f"the prompt cache keeps whole states of this model: {context.layout_error}"
        channel.post(LogLine(level="info", source="engine", text=text))
    loop = build_loop(command, channel, model, context, prompts, making.result())
    give_back_memory()  # making tables of the vocabulary took more than they do
    if source is None:
        text = f"{path.name} has no chat template; ChatML is used"
        channel.post(LogLine(level="warning", source="engine", text=text))
    load_ms = round((time.monotonic() - began_s) * 1000.0, 1)
    return loop, _info(path, model, context, prompts, source, load_ms=load_ms)


def _compiler(model: Model, channel: Channel) -> Compiler | None:
    """Return what compiles grammars; a vocabulary that it cannot take is no reason not to serve."""
    try:
        return Compiler(build_tokenizer(model))
    except BaseException as error:  # llguidance's panics are no Exception
        text = f"answers cannot be held to grammars: {error}"
        channel.post(LogLine(level="warning", source="engine", text=text))
        return None


def _info(
    path: Path,
    model: Model,
    context: Context,
    prompts: PromptBuilder,
    template: str | None,
    *,
    load_ms: float,
) -> ModelInfo:
    undoable = undo(model, context)
    return ModelInfo(
        description=model.description,
        n_params=model.n_params,
        size_bytes=model.size_bytes,
        n_ctx=context.n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_vocab=model.n_vocab,
        n_gpu_layers=model.n_gpu_layers,
        n_threads=context.n_threads,
        n_threads_batch=context.n_threads_batch,
        has_chat_template=template is not None,
        chat_template=template or "",
        template_takes=prompts.template_takes,
        bos_token=model.bos_text,
        eos_token=model.eos_text,
        can_infill=model.infill_tokens is not None,
        fingerprint=f"fp_{build_version()}_{file_digest(path)}",
        load_ms=load_ms,
        no_speculation=undoable.no_drafts,
        no_abort=undoable.no_abort,
    )


def _warm_up(model: Model, context: Context) -> None:
    """Generate one token, so that the first request finds memory and caches ready."""
    context.learn_layout(model.first_token)
    sampler = Sampler(stages(SamplingParams(temperature=0.0)), model)
    sampler.sample(context, -1)
    sampler.close()


def _progress_reporter(channel: Channel) -> Callable[[float], None]:
    last = 0.0

    def report(fraction: float) -> None:
        nonlocal last
        if fraction - last >= _PROGRESS_STEP:
            last = fraction
            channel.post(LoadProgress(fraction=round(fraction, 3)))
            channel.flush()

    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv))
