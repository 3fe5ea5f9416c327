"""Owns reading requests for llama-server's completion into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from app.api.chat.sampling import read_sampling
from app.api.dialect import Ask, ServedModel
from app.api.dialects.llama_completion.schemas import (
    InfillRequest,
    NativeCompletionRequest,
    NativeFields,
)
from app.api.dialects.llama_completion.writer import NativeWriter
from app.api.schemas.raw_prompt import raw_prompts
from app.errors import NotSupported
from app.protocol import ExtraText, Generate, Infill, RawPrompt
from app.web.json_body import parse


def read(body: bytes, _headers: Mapping[str, str]) -> Ask:
    """Read a completion request.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    asked = parse(body, NativeCompletionRequest)
    return _ask(asked, lambda model: raw_prompts(asked.prompt, model.info.n_vocab))


def read_infill(body: bytes, _headers: Mapping[str, str]) -> Ask:
    """Read a request for the middle of a text.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    asked = parse(body, InfillRequest)

    def prompts(model: ServedModel) -> list[RawPrompt]:
        if not model.info.can_infill:
            raise NotSupported(
                f"Infill is not supported by this model: {model.name} has no tokens for it"
            )
        n_answer = read_sampling(model, asked).max_tokens or 0
        return [RawPrompt(infill=_infill(asked, n_answer))]

    return _ask(asked, prompts)


def _infill(asked: InfillRequest, n_answer: int) -> Infill:
    return Infill(
        prefix=asked.input_prefix,
        suffix=asked.input_suffix,
        middle=asked.prompt or "",
        extra=[
            ExtraText(text=extra.text, filename=extra.filename or "")
            for extra in asked.input_extra or ()
        ],
        n_answer=n_answer,
    )


def _ask(asked: NativeFields, prompts: Callable[[ServedModel], list[RawPrompt]]) -> Ask:
    reply_id = f"cmpl-{secrets.token_hex(12)}"

    def writer(model: ServedModel, commands: Sequence[Generate]) -> NativeWriter:
        return NativeWriter(
            model.reply_name,
            model.info.n_ctx,
            commands,
            streams=bool(asked.stream),
            id_slot=-1 if asked.id_slot is None else asked.id_slot,
            response_fields=asked.response_fields or (),
        )

    return Ask(
        reply_id=reply_id,
        model=asked.model,
        overrides={},
        stream=bool(asked.stream),
        commands=lambda model: to_commands(asked, reply_id, model, prompts(model)),
        writer=writer,
    )


def to_commands(
    body: NativeFields,
    reply_id: str,
    model: ServedModel,
    prompts: Sequence[RawPrompt],
) -> list[Generate]:
    """Return the engine's command for each prompt.

    Raises:
        InvalidRequest: a value is invalid for the loaded model.
    """
    asked = read_sampling(model, body)
    speculate = model.defaults.speculate if body.speculate is None else body.speculate
    return [
        Generate(
            request_id=f"{reply_id}-{number}" if len(prompts) > 1 else reply_id,
            prompt=prompt,
            sampling=asked.sampling,
            max_tokens=asked.max_tokens,
            stop=asked.stop,
            n=body.n_answers,
            n_logprobs=body.n_probs or None,
            echo=True,
            report_tokens=bool(body.return_tokens or body.stream),
            report_progress=bool(body.return_progress and body.stream),
            constraint=body.constraint,
            speculate=speculate,
        )
        for number, prompt in enumerate(prompts)
    ]
