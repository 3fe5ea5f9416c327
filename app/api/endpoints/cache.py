"""Owns the prompt cache's endpoints: restore, inspect, clear."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec
from sanic import HTTPResponse, Request
from sanic.exceptions import ServiceUnavailable

from app.api.answering.answer_log import note_answer
from app.api.cache_status import disk_state, tiers_body
from app.api.chat.conversation import to_prefill
from app.api.engine_errors import raise_if_failed
from app.api.route import GUARDED, QUEUES, Route
from app.api.schemas.cache import CacheResponse, ClearCacheResponse, RestoreCacheResponse
from app.api.schemas.conversation import RestoreCacheRequest
from app.api.service import Service, service_of
from app.errors import EngineDied, ModelNotFound
from app.host.cache_folder import CacheFolder
from app.host.serving import Serving
from app.promptcache.folders import folder_name
from app.promptcache.lock import FolderInUse
from app.protocol import CacheCleared, CacheReport, ClearCache, DescribeCache, Finished
from app.web import access_log
from app.web.json_body import json_response, parse


async def restore_cache(request: Request) -> HTTPResponse:
    """Prefill a conversation and keep it, in memory and on disk; generates nothing."""
    body = parse(request.body, RestoreCacheRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    serving = await service_of(request).supervisor.use(body.model, overrides)
    request_id = f"restore-{secrets.token_hex(8)}"
    access_log.note(request, model=serving.name)
    last = await serving.engine.ask(to_prefill(request.body, body, request_id), request_id)
    raise_if_failed(last)
    if not isinstance(last, Finished):
        raise RuntimeError(f"an engine answered Prefill with {type(last).__name__}")
    note_answer(request, last.usage, last.timings, last.reason)
    return json_response(
        {
            "status": "ok",
            "message": "cache is restored",
            "model": serving.name,
            "prompt_tokens": last.usage.prompt_tokens,
            "cached_tokens": last.usage.cached_tokens,
            "tier": last.timings.tier,
            "saved": last.saved,
        }
    )


async def show_cache(request: Request) -> HTTPResponse:
    """Return the cache's state: of the loaded model, and on disk of all models."""
    supervisor = service_of(request).supervisor
    body: dict[str, Any] = {
        "model": None,
        "layout": None,
        "layout_message": "",
        "tiers": None,
        "misses": {},
        "not_restored": {},
        "entries": [],
        "changing_heads": [],
    }
    if serving := supervisor.serving:
        report: CacheReport = await _ask(serving, DescribeCache(request_id=secrets.token_hex(8)))
        disk = disk_state(supervisor, report.counts)
        body = {
            "model": serving.name,
            "layout": report.counts.layout,
            "layout_message": report.counts.layout_message,
            "tiers": tiers_body(report.counts, disk, folder_name(serving.name)),
            "misses": report.counts.misses,
            "not_restored": report.counts.not_restored,
            "entries": msgspec.to_builtins(report.entries),
            "changing_heads": msgspec.to_builtins(report.changing_heads),
        }
    usage = await supervisor.cache.usage()
    body["models"] = [
        {"folder": folder, "entries": entries, "bytes": size}
        for folder, (entries, size) in sorted(usage.items())
    ]
    return json_response(body)


async def clear_cache(request: Request) -> HTTPResponse:
    """Clear the cache of all models or of one; entries in use by requests stay."""
    service = service_of(request)
    loaded = service.supervisor.loaded
    folders = set(await service.supervisor.cache.usage())
    named = request.get_args(keep_blank_values=True).get("model")
    whose: str | None = None
    if named is not None:
        whose = await asyncio.to_thread(_known_model, service, named, folders)
        loaded = [serving for serving in loaded if serving.name == whose]
        folders &= {folder_name(whose)}
    entries, size = await _clear(service.supervisor.cache, loaded, folders)
    access_log.note(request, model=whose or "all", entries=entries, bytes=size)
    message = f"the cache of {whose or 'all models'} is empty"
    return json_response({"status": "ok", "message": message, "entries": entries, "bytes": size})


def _known_model(service: Service, named: str, folders: set[str]) -> str:
    """Return the file name of a model; the file may be missing if its cache folder exists.

    Raises:
        ModelNotFound: neither exists.
    """
    try:
        return service.catalog.find(named).name
    except ModelNotFound:
        for form in (named, *(unicodedata.normalize(each, named) for each in ("NFC", "NFD"))):
            if folder_name(form) in folders:
                return form
        raise


async def _clear(
    cache: CacheFolder, loaded: Iterable[Serving], folders: set[str]
) -> tuple[int, int]:
    """Clear the engines' caches, then the other folders; return entries and bytes."""
    entries = size = 0
    for serving in loaded:
        try:
            answer: CacheCleared = await _ask(serving, ClearCache(request_id=secrets.token_hex(8)))
        except EngineDied:
            continue
        entries, size = entries + answer.entries, size + answer.bytes
        if serving.cache.folder:
            folders = folders - {folder_name(serving.name)}
    try:
        on_disk = await cache.clear(folders)
    except FolderInUse as error:
        raise ServiceUnavailable(str(error)) from None
    return entries + on_disk[0], size + on_disk[1]


async def _ask(serving: Serving, command: ClearCache | DescribeCache) -> Any:
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    return answer


ROUTES = (
    Route(
        method="post",
        path="/restore_cache",
        handler=restore_cache,
        summary="Prefill and cache a conversation",
        response=RestoreCacheResponse,
        request=RestoreCacheRequest,
        errors=QUEUES,
    ),
    Route(
        method="get",
        path="/cache",
        handler=show_cache,
        summary="Return the state of the prompt cache",
        response=CacheResponse,
    ),
    Route(
        method="delete",
        path="/cache",
        handler=clear_cache,
        summary="Clear the prompt cache of all models or of one",
        response=ClearCacheResponse,
        query={"model": "File name of the model; all models if omitted."},
        errors=(*GUARDED, 404),
    ),
)
