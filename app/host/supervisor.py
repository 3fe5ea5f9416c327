"""Owns which model serves: initial load, switch and rollback.

`app.host.eviction` unloads the model that has to leave, `Loader` turns a plan into a model that
serves. It knows model files and engine handles; it must not know HTTP or the content of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from app.background_tasks import BackgroundWork, WorkEnded
from app.errors import (
    DistillerError,
    LoadParamsRefused,
    ModelLoadFailed,
    ServiceStopping,
    reason_of,
    unforeseen,
)
from app.host.cache_folder import CacheFolder
from app.host.eviction import Evictions
from app.host.initial_load import InitialLoad
from app.host.load_plan import LoadPlan, plan_load
from app.host.loader import Loader
from app.host.process.engine_process import EngineProcess
from app.host.process.spawn import SpawnedEngine
from app.host.profiles import Profile, ProfileState
from app.host.quarantine import Quarantine
from app.host.restart import EngineRestart
from app.host.serving import Serving, Status
from app.logs import get_logger
from app.models.catalog import Catalog, ModelFile
from app.parameters.timeouts import Timeouts
from app.protocol import LoadParams, QueueParams

_RECOVERY_TIMEOUT_S = 30.0

Result = TypeVar("Result")

log = get_logger("supervisor")


class Supervisor:
    """Keeps one engine serving.

    Args:
        catalog: the models folder.
        defaults: load parameters where a request names none.
        queue: how many requests an engine takes.
        cache: the folder of cached prompts.
        profiles: what is ready in an engine before it serves.
        timeouts: of loading, of silent engines, and of requests whose model has to make room.
    """

    def __init__(
        self,
        catalog: Catalog,
        defaults: LoadParams,
        queue: QueueParams,
        cache: CacheFolder,
        profiles: Sequence[Profile] = (),
        *,
        timeouts: Timeouts,
    ) -> None:
        self._catalog = catalog
        self._defaults = defaults
        self._lock = asyncio.Lock()
        self._evictions = Evictions()
        self._work = BackgroundWork()
        self.cache = cache
        self.quarantine = Quarantine()
        self.status = Status()
        self._initial_load_done = asyncio.Event()
        self._loader = Loader(
            queue,
            cache,
            profiles,
            timeouts,
            status=self.status,
            on_exit=self._on_exit,
        )
        self.engine_restart = EngineRestart(
            self._loader,
            self.status,
            self._lock,
        )

    @property
    def serving(self) -> Serving | None:
        """The model that serves, if any."""
        return self.status.serving

    @property
    def load_fraction(self) -> float | None:
        """The progress of the load, 0.0 to 1.0; None if none is in progress."""
        return self._loader.load_fraction

    @property
    def last_event_s(self) -> float | None:
        """Monotonic time of the last event of the engine that is being loaded, if one is."""
        return self._loader.last_event_s

    @property
    def is_busy(self) -> bool:
        """Whether a load, switch or restart is in progress."""
        return self._work.is_running

    @property
    def load_defaults(self) -> LoadParams:
        """The load parameters where neither a request nor a model's settings name any."""
        return self._defaults

    @property
    def profiles(self) -> Sequence[ProfileState]:
        """The profiles of the model that serves, else of the last load."""
        return self.serving.profiles if self.serving else self._loader.profile_states

    @property
    def loaded(self) -> list[Serving]:
        """The model that serves, and former ones that still finish their requests."""
        return [*([self.serving] if self.serving else []), *self._evictions.draining]

    # ------------------------------------------------------------ start and stop

    def start(self, model_name: str | None, spawned: SpawnedEngine | None = None) -> None:
        """Begin the initial load and return at once.

        Args:
            model_name: the configured model; None is the newest that can be loaded.
            spawned: an engine that was spawned early.
        """
        self.status.not_loaded.clear()
        files: list[ModelFile] = []
        try:
            files = [self._catalog.find(model_name)] if model_name else self._catalog.newest_first()
        except DistillerError as error:
            self.status.fail(error.message)
        if not files:
            if spawned:
                spawned.discard()
            log.warning("no_model", message=self.status.message)
            self._initial_load_done.set()
            return
        self.status.begin_load(files[0].name, f"Model {files[0].name} is being loaded")
        self._work.start(self._initial_load(files, spawned))

    async def initial_load_done(self) -> None:
        """Wait until the initial load has succeeded or failed."""
        await self._initial_load_done.wait()

    def reconfigure(
        self,
        defaults: LoadParams,
        queue: QueueParams,
        profiles: Sequence[Profile],
        timeouts: Timeouts,
    ) -> None:
        """Use other values from the next load on; the model that serves is not affected."""
        self._defaults = defaults
        self._loader.reconfigure(queue, profiles, timeouts)

    async def _initial_load(
        self, files: Sequence[ModelFile], spawned: SpawnedEngine | None
    ) -> None:
        try:
            async with self._lock:
                plan = partial(plan_load, self._catalog, defaults=self._defaults, overrides={})
                initial = InitialLoad(self._catalog, self._loader, self.status, plan, spawned)
                await initial.run(files)
        except Exception as error:
            self._fail(error)
        finally:
            self._initial_load_done.set()

    async def stop(self) -> None:
        """Shut down engines and background work; may be called again after an interruption."""
        self.status.stop()
        await asyncio.gather(*self._work.cancel(), return_exceptions=True)
        await self._loader.close()

    async def settled(self) -> None:
        """Wait until no load, switch or restart is in progress."""
        await self._work.ended()

    def begin_stop(self) -> None:
        """Reject new requests from now on; running ones continue."""
        self.status.stop()

    def end_requests(self) -> None:
        """Fail everything that clients wait for, because the service stops."""
        self.begin_stop()
        self._work.cancel()
        self._loader.end_requests()

    # ------------------------------------------------------------ requests

    async def use(self, model_name: str | None, overrides: Mapping[str, Any]) -> Serving:
        """Return the model that serves; switch to `model_name` first if that is another one.

        None, and an unknown name where that means the default model, is the model that serves.

        Args:
            overrides: load parameters; used only if a load is needed.

        Raises:
            ModelNotFound: no such file.
            ModelLoadFailed: it could not be loaded; the former model continues to serve.
            NoModelLoaded, EngineUnavailable, ServiceStopping: no model serves or will soon.
            QueueFull: too many requests wait for a restart.
        """
        file = await asyncio.to_thread(self._catalog.asked, model_name) if model_name else None
        if self.status.name == "stopping":
            raise self.status.refusal()
        serving = self.serving
        if serving and (file is None or file.name == serving.name):
            return serving
        if file is None or file.name == self.status.pending:
            return await self.engine_restart.queue_for_restart()
        return await self._outcome(self._switch(file, overrides, reload=False))

    # ------------------------------------------------------------ load and switch

    async def switch(self, file: ModelFile, overrides: Mapping[str, Any]) -> Serving:
        """Load `file` and serve it; the former model finishes its requests.

        A switch completes even if the caller is cancelled.

        Raises:
            ModelLoadFailed: it could not be loaded; the former model continues to serve.
        """
        return await self._outcome(self._switch(file, overrides, reload=True))

    async def _outcome(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work that survives the caller and ends with the service."""
        try:
            return await self._work.outcome(work)
        except WorkEnded:
            raise self.status.refusal() from None

    async def _switch(
        self, file: ModelFile, overrides: Mapping[str, Any], *, reload: bool
    ) -> Serving:
        await self._wait_for_recovery()
        async with self._lock:
            if self.status.name == "stopping":
                raise self.status.refusal()
            before = self.serving
            if before and before.name == file.name and not reload:
                return before  # loaded for another request meanwhile
            with self.status.attempt(file.name):
                return await self._load(file, overrides, before)

    async def _load(
        self, file: ModelFile, overrides: Mapping[str, Any], before: Serving | None
    ) -> Serving:
        plan = await plan_load(
            self._catalog,
            file,
            self._defaults,
            overrides,
            before=before.plan if before else None,
            n_seq_max=self._loader.queue.n_seq_max,
        )
        if before and before.plan.same_as(plan):
            return before
        if before is None or plan.fits_beside:
            return await self._replace(plan, before)
        return await self._stop_then_load(plan, before)

    async def _wait_for_recovery(self) -> None:
        """Let the requests of a crashed engine resume before another model is loaded."""
        with contextlib.suppress(DistillerError, TimeoutError):
            async with asyncio.timeout(_RECOVERY_TIMEOUT_S):
                if self.status.name == "restarting":
                    await self.engine_restart.done()
                await self.quarantine.retries_done()

    async def _replace(self, plan: LoadPlan, before: Serving | None) -> Serving:
        try:
            serving = await self._loader.load(plan)
            self.status.serve(serving)
        except Exception as error:
            if before is None and self.status.pending is None:  # else a restart is in progress
                self._fail(error)
            if before and isinstance(error, ModelLoadFailed | LoadParamsRefused):
                raise _with_outcome(error, f"{before.name} continues to serve") from error
            raise
        if before:
            self._work.start(self._evictions.evict(before, timeout_s=None))
        return serving

    async def _stop_then_load(self, plan: LoadPlan, before: Serving) -> Serving:
        name = plan.file.name
        self.status.begin_load(name, f"Model {name} is being loaded in place of {before.name}")
        try:
            await self._evictions.evict(before, timeout_s=self._loader.timeouts.drain_timeout_s)
            serving = await self._loader.load(plan)
            self.status.serve(serving)
        except ServiceStopping:
            raise
        except Exception as error:
            outcome = await self._roll_back(before)
            if isinstance(error, ModelLoadFailed | LoadParamsRefused):
                raise _with_outcome(error, outcome) from error
            raise
        return serving

    async def _roll_back(self, before: Serving) -> str:
        """Load the former model again; return the outcome as text."""
        try:
            self.status.serve(await self._loader.load(before.plan))
        except Exception as error:
            self._fail(error)
            return f"{before.name} could not be loaded again: {reason_of(error)}"
        return f"{before.name} was loaded again"

    def _fail(self, error: Exception) -> None:
        """Enter the error state."""
        if isinstance(error, ServiceStopping):
            return
        reason = reason_of(error)
        self.status.fail(reason)
        log.error("model_load_failed", error=reason, exc_info=unforeseen(error))

    def _on_exit(self, engine: EngineProcess) -> None:
        self.status.oom_kills += engine.was_oom_killed
        serving = self.serving
        if serving is None or serving.engine is not engine:
            return
        self.engine_restart.begin(serving)
        if self.status.name != "stopping":
            self._work.start(self.engine_restart.run(serving))


def _with_outcome(
    error: ModelLoadFailed | LoadParamsRefused, outcome: str
) -> ModelLoadFailed | LoadParamsRefused:
    """Return the error with the outcome of the switch appended to its message."""
    return type(error)(f"{error.message}; {outcome}", param=error.param or "model")
