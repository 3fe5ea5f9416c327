"""Owns the OpenAI dialect's way in: a request becomes a command; no I/O, no Sanic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from app.api.defaults import Defaults
from app.api.dialects.chat_completions.schemas import ChatRequest, Conversation, RestoreCacheRequest
from app.api.schemas.sampling import InferenceConfigs
from app.errors import InvalidRequest
from app.protocol import Generate, Prefill, PromptEnd, Render, SamplingParams

_ALIASES = {
    "repetition_penalty": "repeat_penalty",
    "max_completion_tokens": "max_tokens",
    "n_predict": "max_tokens",
}
_NO_LIMIT = _RANDOM = _WHOLE_CONTEXT = -1
_TOKEN_ID = re.compile(r"[0-9]{1,9}")
_SEED_MASK = 0x7FFFFFFF


def to_generate(
    body: ChatRequest,
    request_id: str,
    *,
    defaults: Defaults,
    n_ctx: int,
    n_vocab: int,
) -> Generate:
    """Return the engine's command for a chat request.

    `inference_configs` wins over the top level, the top level over `defaults`.

    Raises:
        InvalidRequest: a value that only the loaded model can judge is wrong, or the last message
            cannot be continued.
    """
    given = _given(body)
    stop = given.pop("stop", None)
    limit = given.pop("max_tokens", defaults.max_tokens)
    if "logit_bias" in given:
        given["logit_bias"] = _logit_bias(given["logit_bias"], n_vocab)
    return Generate(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.offered_tools,
        template_kwargs=body.template_kwargs,
        prompt_end=_prompt_end(body),
        sampling=_resolved(msgspec.structs.replace(defaults.sampling, **given), n_ctx),
        max_tokens=None if limit == _NO_LIMIT else limit,
        stop=[stop] if isinstance(stop, str) else list(stop or ()),
        n=body.n or 1,
        report_progress=bool(body.return_progress and body.stream),
        explain_cache=bool(body.explain_cache),
        n_logprobs=body.n_logprobs,
        tool_choice=body.chosen_tools,
        constraint=body.constraint,
        reasoning=body.reasoning(defaults.reasoning),
        speculate=defaults.speculate if body.speculate is None else body.speculate,
    )


def to_render(body: ChatRequest, request_id: str) -> Render:
    """Return the engine's command for the prompt that a chat request would have.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    return Render(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.offered_tools,
        template_kwargs=body.template_kwargs,
        prompt_end=_prompt_end(body),
    )


def to_prefill(body: RestoreCacheRequest, request_id: str) -> Prefill:
    """Return the engine's command for a prompt that is to be kept ready.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    return Prefill(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.raw_tools(),
        template_kwargs=body.template_kwargs,
        prompt_end=_prompt_end(body),
    )


def _prompt_end(body: Conversation) -> PromptEnd:
    if not body.continue_final_message:
        return "closed" if body.add_generation_prompt is False else "opened"
    if body.add_generation_prompt:
        raise InvalidRequest(
            "continue_final_message and add_generation_prompt exclude each other",
            param="continue_final_message",
        )
    last = body.messages[-1]
    if last.role != "assistant" or last.tool_calls:
        raise InvalidRequest(
            "continue_final_message needs a last message by the assistant, without tool calls",
            param="messages",
        )
    return "continued"


def _given(body: ChatRequest) -> dict[str, Any]:
    wanted = set(InferenceConfigs.model_fields)
    values: dict[str, Any] = {}
    for source in (body, body.inference_configs):
        if source is None:
            continue
        named = source.model_dump(include=wanted, exclude_none=True)
        for name, value in sorted(named.items(), key=lambda item: item[0] in _ALIASES):
            values[_ALIASES.get(name, name)] = value
    return values


def _logit_bias(given: Mapping[str, float], n_vocab: int) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, bias in given.items():
        if not _TOKEN_ID.fullmatch(key) or int(key) >= n_vocab:
            raise InvalidRequest(
                f"logit_bias: '{key}' is no token id; ids run from 0 to {n_vocab - 1}",
                param="logit_bias",
            )
        biases[int(key)] = bias
    return biases


def _resolved(sampling: SamplingParams, n_ctx: int) -> SamplingParams:
    """Return the values with llama-server's -1 replaced by what it means for each of them."""
    seed, repeats, dry = sampling.seed, sampling.repeat_last_n, sampling.dry_penalty_last_n
    return msgspec.structs.replace(
        sampling,
        seed=None if seed in (None, _RANDOM) else _fold_seed(seed),
        repeat_last_n=n_ctx if repeats == _WHOLE_CONTEXT else repeats,
        dry_penalty_last_n=n_ctx if dry == _WHOLE_CONTEXT else dry,
    )


def _fold_seed(seed: int) -> int:
    """Return a seed for llama.cpp: 31 bits, as the highest value means a random one there."""
    return (seed ^ (seed >> 31)) & _SEED_MASK
