"""Owns supervisors with real engines for tests."""

from __future__ import annotations

from app.host.cache_folder import CacheFolder
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, LoadParams, QueueParams


def supervisor_of(catalog: Catalog, params: LoadParams) -> Supervisor:
    """Return a supervisor for the models of a folder; whoever asks for it stops it."""
    return Supervisor(
        catalog,
        params,
        QueueParams(),
        CacheFolder(catalog.models_dir / "cache", CacheParams()),
        timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=60, drain_timeout_s=5),
    )
