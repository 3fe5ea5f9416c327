"""Owns how models are listed: for OpenAI's, llama-server's and Anthropic's clients; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.errors import InvalidRequest
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.models.catalog import ModelFile
from app.models.facts import ModelFacts

_DEFAULT_PAGE, _MAX_PAGE = 20, 1000
# `llama_vocab_type` in llama.cpp's include/llama.h, by the tokenizer's name in the header.
_VOCAB_TYPES = {
    "none": 0, "no_vocab": 0, "llama": 1, "gpt2": 2, "hybriddna": 2, "whitespace": 2, "gemma4": 2,
    "bert": 3, "t5": 4, "rwkv": 5, "plamo2": 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of the models folder.

    Args:
        aliases: its names besides that of the file.
        facts: None if its header cannot be read any more.
        n_params: elements of all of its tensors.
    """

    file: ModelFile
    aliases: Sequence[str]
    facts: ModelFacts | None
    n_params: int | None = None


def entry(listed: Listed, supervisor: Supervisor) -> dict[str, Any]:
    """Return a model in OpenAI's shape, with llama-server's fields and ours."""
    file, own = listed.file, _own(listed.file, supervisor)
    return {
        "id": file.name,
        "object": "model",
        "created": int(file.modified_s),
        "owned_by": "local",
        "aliases": list(listed.aliases),
        "status": _status(file.name, supervisor),
        "meta": _meta(listed, own),
        "size_bytes": file.size_bytes,
        "loaded": own is not None,
        "n_ctx": own.info.n_ctx if own else None,
    }


def _own(file: ModelFile, supervisor: Supervisor) -> Serving | None:
    """Return the engine that serves a file, if one does."""
    serving = supervisor.serving
    return serving if serving and serving.name == file.name else None


def _status(name: str, supervisor: Supervisor) -> dict[str, Any]:
    status = supervisor.status
    value = status.state_of(name)
    body: dict[str, Any] = {"value": value}
    if value == "loading":
        body["progress"] = supervisor.load_fraction
    if value == "failed":
        body |= {"failed": True, "message": status.failures[name]}
    return body


def _meta(listed: Listed, own: Serving | None) -> dict[str, Any] | None:
    facts = listed.facts
    if facts is None:
        return None
    return {
        "vocab_type": _VOCAB_TYPES.get(facts.tokenizer or "none"),
        "n_vocab": own.info.n_vocab if own else facts.n_vocab,
        "n_ctx": own.info.n_ctx if own else None,
        "n_ctx_train": facts.n_ctx_train or None,
        "n_embd": facts.n_embd or None,
        "n_params": own.info.n_params if own else listed.n_params,
        "size": listed.file.size_bytes,
        "ftype": facts.file_type,
    }


# ---------------------------------------------------------------- Anthropic's


def anthropic_page(
    models: Sequence[Listed], query: Mapping[str, str], supervisor: Supervisor
) -> dict[str, Any]:
    """Return a page of models in Anthropic's shape, aliases as models of their own.

    Args:
        query: `limit`, and `after_id` or `before_id`.

    Raises:
        InvalidRequest: a value is wrong.
    """
    every = [anthropic_model(each, name, supervisor) for each in models for name in _ids(each)]
    ids = [model["id"] for model in every]
    limit = _limit(query.get("limit", ""))
    start, end = 0, len(every)
    if "after_id" in query:
        start = _place(ids, query, "after_id") + 1
    if "before_id" in query:
        end = _place(ids, query, "before_id")
        start = max(start, end - limit)
    page = every[start:end][:limit]
    more = start > 0 if "before_id" in query else start + len(page) < end
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def anthropic_model(listed: Listed, name: str, supervisor: Supervisor) -> dict[str, Any]:
    """Return a model in Anthropic's shape.

    Args:
        name: its file name or an alias.
    """
    file = listed.file
    created = datetime.fromtimestamp(max(0, int(file.modified_s)), UTC)
    own = _own(file, supervisor)
    window = own.info.n_ctx if own else None
    return {
        "type": "model",
        "id": name,
        "display_name": name if name != file.name else file.name.rpartition(".")[0],
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": window,
        "max_tokens": window,
    }


def _ids(listed: Listed) -> list[str]:
    return [listed.file.name, *listed.aliases]


def _limit(given: str) -> int:
    if not given:
        return _DEFAULT_PAGE
    if given.isascii() and given.isdecimal() and int(given[:5]) >= 1 and len(given) < 5:
        return min(int(given), _MAX_PAGE)
    raise InvalidRequest(f"limit: must be a number from 1 to {_MAX_PAGE}", param="limit")


def _place(ids: Sequence[str], query: Mapping[str, str], param: str) -> int:
    try:
        return ids.index(query[param])
    except ValueError:
        raise InvalidRequest(f"{param}: there is no such model", param=param) from None
