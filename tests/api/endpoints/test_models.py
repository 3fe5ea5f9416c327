"""The models folder is looked at for every request, and never by the event loop."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request

from app.api.endpoints import cache, models
from app.errors import ModelNotFound
from app.host.cache_folder import CacheFolder
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog, ModelFile
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, LoadParams, QueueParams

# Sanic's decorators hide from the type checker what handlers are.
MODELS, CACHE = cast(Any, models), cast(Any, cache)
MISSING = "missing.gguf"


class WatchedCatalog(Catalog):
    """A models folder that knows by which threads it was looked at."""

    def __init__(self, models_dir: Path) -> None:
        super().__init__(models_dir)
        self.looked_at_by: list[threading.Thread] = []

    def entries(self) -> list[ModelFile]:
        self.looked_at_by.append(threading.current_thread())
        return super().entries()


@pytest.fixture
def service(tmp_path: Path) -> Any:
    catalog = WatchedCatalog(tmp_path)
    supervisor = Supervisor(
        catalog,
        LoadParams(n_ctx=512),
        QueueParams(),
        CacheFolder(tmp_path / "cache", CacheParams()),
        timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=60, drain_timeout_s=5),
    )
    return SimpleNamespace(catalog=catalog, supervisor=supervisor)


def request(service: Any, body: Any = None, **query: str) -> Request:
    made = SimpleNamespace(
        app=SimpleNamespace(ctx=SimpleNamespace(service=service)),
        ctx=SimpleNamespace(facts={}),
        body=json.dumps(body).encode(),
        headers={},
        get_args=lambda **_: query,
    )
    return cast(Request, made)


ASKED: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "GET /models": lambda service: MODELS.list_models(request(service)),
    "GET /models/missing.gguf": lambda service: MODELS.show_model(request(service), MISSING),
    "POST /setModel": lambda service: MODELS.set_model(request(service, {"model_name": MISSING})),
    "DELETE /cache": lambda service: CACHE.clear_cache(request(service, model=MISSING)),
    "model in a request": lambda service: service.supervisor.use(MISSING, {}),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))
async def test_a_thread_looks_at_the_folder_once_for_each_request(
    service: Any, ask: Callable[[Any], Awaitable[Any]]
) -> None:
    for n_asked in (1, 2):
        with contextlib.suppress(ModelNotFound):
            await ask(service)
        assert len(service.catalog.looked_at_by) == n_asked
    assert threading.current_thread() not in service.catalog.looked_at_by
