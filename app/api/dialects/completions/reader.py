"""Owns reading requests for OpenAI's legacy completions into commands; no I/O, no Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from app.api.chat.sampling import read_sampling
from app.api.dialect import Ask, ServedModel
from app.api.dialects.completions.schemas import DEFAULT_MAX_TOKENS, CompletionRequest
from app.api.dialects.completions.writer import CompletionWriter
from app.api.schemas.raw_prompt import raw_prompts
from app.protocol import Generate
from app.web.json_body import parse


def read(body: bytes, _headers: Mapping[str, str]) -> Ask:
    """Read a completion request.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    asked = parse(body, CompletionRequest)
    reply_id = f"cmpl-{secrets.token_hex(12)}"

    def writer(model: ServedModel, commands: Sequence[Generate]) -> CompletionWriter:
        options = asked.stream_options
        return CompletionWriter(
            reply_id,
            model.reply_name,
            model.info.fingerprint,
            commands,
            n=asked.n or 1,
            shows_logprobs=asked.logprobs is not None,
            includes_usage=bool(options and options.include_usage),
        )

    return Ask(
        reply_id=reply_id,
        model=asked.model,
        overrides={},
        stream=bool(asked.stream),
        commands=lambda model: to_commands(asked, reply_id, model),
        writer=writer,
    )


def to_commands(body: CompletionRequest, reply_id: str, model: ServedModel) -> list[Generate]:
    """Return the engine's command for each prompt.

    Raises:
        InvalidRequest: a value is invalid for the loaded model.
    """
    asked = read_sampling(model, body)
    prompts = raw_prompts(body.prompt, model.info.n_vocab, body.suffix or None)
    is_ranked = body.n_generated > (body.n or 1)
    speculate = model.defaults.speculate if body.speculate is None else body.speculate
    return [
        Generate(
            request_id=f"{reply_id}-{number}" if len(prompts) > 1 else reply_id,
            prompt=prompt,
            sampling=asked.sampling,
            max_tokens=asked.max_tokens if body.has_limit else DEFAULT_MAX_TOKENS,
            stop=asked.stop,
            n=body.n_generated,
            n_logprobs=0 if body.logprobs is None and is_ranked else body.logprobs,
            echo=bool(body.echo),
            prompt_logprobs=body.logprobs if body.echo else None,
            constraint=body.constraint,
            speculate=speculate,
        )
        for number, prompt in enumerate(prompts)
    ]
