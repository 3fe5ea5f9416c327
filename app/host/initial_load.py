"""Owns the load at the start: the configured model, else the newest that can be loaded.

It must not know requests; what it could not load becomes a warning of the service's status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.errors import LoadParamsRefused, ModelLoadFailed, ServiceStopping, reason_of, unforeseen
from app.host.load_plan import LoadPlan
from app.host.loader import Loader
from app.host.process.spawn import SpawnedEngine
from app.host.serving import Serving, Status
from app.logs import get_logger
from app.models.catalog import Catalog, ModelFile

_MAX_REASONS = 3

log = get_logger("supervisor")


class InitialLoad:
    """One load at the start or after a reload.

    Args:
        plan: returns how a file is to be loaded.
        spawned: an engine that was spawned early; the first model that is loaded gets it.
    """

    def __init__(
        self,
        catalog: Catalog,
        loader: Loader,
        status: Status,
        plan: Callable[[ModelFile], Awaitable[LoadPlan]],
        spawned: SpawnedEngine | None = None,
    ) -> None:
        self._catalog = catalog
        self._loader = loader
        self._status = status
        self._plan = plan
        self._spawned = spawned

    async def run(self, files: Sequence[ModelFile]) -> None:
        """Let the first of `files` serve that can be loaded.

        Raises:
            LoadParamsRefused: a setting makes a model unloadable.
            Exception: none could be loaded; the error of the only one, or `ModelLoadFailed` with
                the reasons of several.
        """
        failures: list[Exception] = []
        try:
            for file in files:
                if self._status.name == "stopping":
                    raise self._status.refusal()
                try:
                    if len(files) > 1:
                        await self._check(file)
                    self._status.serve(await self._load(file))
                except (ServiceStopping, LoadParamsRefused):
                    raise  # a setting at fault would be so for every model
                except Exception as error:
                    failures.append(error)
                    self._record(file, error, is_last=len(failures) == len(files))
                else:
                    return
        finally:
            if self._spawned:
                self._spawned.discard()
        raise failures[0] if len(failures) == 1 else ModelLoadFailed(_summary(failures))

    async def _check(self, file: ModelFile) -> None:
        """Skip what is no model before it is announced as being loaded."""
        refusal = await asyncio.to_thread(self._catalog.refusal, file)
        if refusal:
            raise _NotOffered(f"{file.name} {refusal}")

    async def _load(self, file: ModelFile) -> Serving:
        self._status.begin_load(file.name, f"Model {file.name} is being loaded")
        with self._status.attempt(file.name):
            plan = await self._plan(file)
            spawned, self._spawned = self._spawned, None
            return await self._loader.load(plan, spawned)

    def _record(self, file: ModelFile, error: Exception, *, is_last: bool) -> None:
        if isinstance(error, _NotOffered):
            log.warning("model_skipped", model=file.name, reason=error.message)
            return
        if is_last and not self._status.not_loaded:
            return  # the supervisor reports it
        reason = reason_of(error)
        self._status.not_loaded[file.name] = self._status.last_failure = reason
        log.error("model_load_failed", model=file.name, error=reason, exc_info=unforeseen(error))


class _NotOffered(ModelLoadFailed):
    """A file is no model that can serve."""


def _summary(failures: Sequence[Exception]) -> str:
    """Return the reasons, those of models before those of other files."""
    ordered = sorted(failures, key=lambda error: isinstance(error, _NotOffered))
    reasons = [reason_of(error) for error in ordered[:_MAX_REASONS]]
    left = len(failures) - len(reasons)
    more = [f"{left} more files cannot serve either"] if left > 0 else []
    return "; ".join([*reasons, *more])
