"""Owns which model serves: first load, switch and roll back.

It knows model files and engine handles; it must not know HTTP or what requests say. How a plan
becomes a serving model is `Loader`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
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

_MOST_PATIENCE_S = 30.0

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
        self._serving: Serving | None = None
        self._draining: list[Serving] = []
        self._work = BackgroundWork()
        self._wanted: str | None = None
        self.cache = cache
        self.quarantine = Quarantine()
        self.status = Status()
        self._has_begun = asyncio.Event()
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
            serving=lambda: self._serving,
            serve=self._serve,
        )

    @property
    def serving(self) -> Serving | None:
        """The model that serves, if any."""
        return self._serving

    @property
    def load_fraction(self) -> float | None:
        """How much of the model that is being loaded is there, 0.0 to 1.0."""
        return self._loader.fraction

    @property
    def heard_s(self) -> float | None:
        """Monotonic time of the last word of the engine that is being loaded, if one is."""
        return self._loader.heard_s

    @property
    def is_at_work(self) -> bool:
        """Whether a load, switch or restart is under way."""
        return self._work.is_under_way

    @property
    def profiles(self) -> Sequence[ProfileState]:
        """The profiles in the model that serves, or else in the one loaded last."""
        return self._serving.profiles if self._serving else self._loader.profile_states

    @property
    def loaded(self) -> list[Serving]:
        """The model that serves and those before it that still finish their requests."""
        return [*([self._serving] if self._serving else []), *self._draining]

    # ------------------------------------------------------------ start and stop

    def start(self, model_name: str | None, spawned: SpawnedEngine | None = None) -> None:
        """Begin to load the first model; returns at once.

        Args:
            model_name: the configured model; None means the only or newest file.
            spawned: an engine that was started early, to be used for it.
        """
        try:
            file = self._catalog.default(model_name)
        except DistillerError as error:
            self.status.set("error", error.message)
            file = None
        if file is None:
            if spawned:
                spawned.discard()
            log.warning("no_model", message=self.status.message)
            self._has_begun.set()
            return
        self._wanted = file.name
        self.status.set("loading", f"Model {file.name} is being loaded")
        self._work.start(self._begin(file, spawned))

    async def begun(self) -> None:
        """Wait until the first model serves, or is known not to."""
        await self._has_begun.wait()

    def reconfigure(
        self,
        defaults: LoadParams,
        queue: QueueParams,
        profiles: Sequence[Profile],
        timeouts: Timeouts,
    ) -> None:
        """Use other values from the next load on; what serves goes on as it is."""
        self._defaults = defaults
        self._loader.reconfigure(queue, profiles, timeouts)

    async def _begin(self, file: ModelFile, spawned: SpawnedEngine | None) -> None:
        try:
            await self._first_load(file, spawned)
        finally:
            self._has_begun.set()

    async def _first_load(self, file: ModelFile, spawned: SpawnedEngine | None) -> None:
        async with self._lock:
            try:
                plan = await plan_load(self._catalog, file, self._defaults, {})
            except Exception as error:
                if spawned:
                    spawned.discard()
                self._fail(error)
                return
            try:
                self._serve(await self._loader.load(plan, spawned))
            except Exception as error:
                self._fail(error)

    async def stop(self) -> None:
        """End all engines and background work; may be called again if it was interrupted."""
        self.status.set("stopping", "Server is shutting down")
        await asyncio.gather(*self._work.cancel(), return_exceptions=True)
        await self._loader.close()
        self._serving = None

    async def settled(self) -> None:
        """Wait until no load, switch or restart is under way."""
        await self._work.ended()

    def begin_stop(self) -> None:
        """Refuse new work from now on; what runs goes on."""
        self.status.set("stopping", "Server is shutting down")

    def end_requests(self) -> None:
        """Have everything end now that somebody waits for, with an error that says why."""
        self.begin_stop()
        self._work.cancel()
        self._loader.end_requests()

    # ------------------------------------------------------------ requests

    async def use(self, model_name: str | None, overrides: Mapping[str, Any]) -> Serving:
        """Return the serving model, after switching to `model_name` if that is another one.

        Args:
            overrides: load parameters; they count only when a load happens.

        Raises:
            ModelNotFound: no such file.
            ModelLoadFailed: it could not be loaded; the former model serves on.
            NoModelLoaded, EngineUnavailable, ServiceStopping: nothing serves, or will soon.
            QueueFull: enough requests wait for the engine that is being restarted.
        """
        file = await asyncio.to_thread(self._catalog.find, model_name) if model_name else None
        if self.status.name == "stopping":
            raise self.status.refusal()
        serving = self._serving
        if serving and (file is None or file.name == serving.name):
            return serving
        if file is None or file.name == self._wanted:
            return await self.engine_restart.served_again()
        return await self._outcome(self._switch(file, overrides, reload=False))

    # ------------------------------------------------------------ load and switch

    async def switch(self, file: ModelFile, overrides: Mapping[str, Any]) -> Serving:
        """Load `file` and let it serve; the model before it finishes its requests.

        A caller that goes away does not undo it: a switch is never left half done.

        Raises:
            ModelLoadFailed: it could not be loaded; the former model serves on.
        """
        return await self._outcome(self._switch(file, overrides, reload=True))

    async def _outcome(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work that goes on though the caller goes away; it ends when the service does."""
        try:
            return await self._work.outcome(work)
        except WorkEnded:
            raise self.status.refusal() from None

    async def _switch(
        self, file: ModelFile, overrides: Mapping[str, Any], *, reload: bool
    ) -> Serving:
        await self._until_repaired()
        async with self._lock:
            if self.status.name == "stopping":
                raise self.status.refusal()
            before = self._serving
            if before and before.name == file.name and not reload:
                return before  # another request has loaded it meanwhile
            plan = await plan_load(
                self._catalog,
                file,
                self._defaults,
                overrides,
                before=before.plan if before else None,
            )
            if before and before.plan.same_as(plan):
                return before
            if before is None or plan.fits_beside:
                return await self._replace(plan, before)
            return await self._stop_then_load(plan, before)

    async def _until_repaired(self) -> None:
        """Let requests whose engine died go on in the next one before another model takes over."""
        with contextlib.suppress(DistillerError, TimeoutError):
            async with asyncio.timeout(_MOST_PATIENCE_S):
                if self.status.name == "restarting":
                    await self.engine_restart.done()
                await self.quarantine.all_tried()

    async def _replace(self, plan: LoadPlan, before: Serving | None) -> Serving:
        try:
            serving = await self._loader.load(plan)
            self._serve(serving)
        except Exception as error:
            if before is None and self._wanted is None:  # else a restart goes on trying
                self._fail(error)
            if before and isinstance(error, ModelLoadFailed | LoadParamsRefused):
                raise _with_outcome(error, f"{before.name} goes on serving") from error
            raise
        if before:
            self._work.start(self._drain_and_close(before, timeout_s=None))
        return serving

    async def _stop_then_load(self, plan: LoadPlan, before: Serving) -> Serving:
        self._serving, self._wanted = None, plan.file.name
        self.status.set(
            "loading", f"Model {plan.file.name} is being loaded in place of {before.name}"
        )
        try:
            await self._drain_and_close(before, timeout_s=self._loader.timeouts.drain_timeout_s)
            serving = await self._loader.load(plan)
            self._serve(serving)
        except ServiceStopping:
            raise
        except Exception as error:
            outcome = await self._bring_back(before)
            if isinstance(error, ModelLoadFailed | LoadParamsRefused):
                raise _with_outcome(error, outcome) from error
            raise
        return serving

    async def _bring_back(self, before: Serving) -> str:
        """Load the former model again; return what became of it, in words."""
        try:
            self._serve(await self._loader.load(before.plan))
        except Exception as error:
            self._fail(error)
            return f"{before.name} could not be loaded again: {reason_of(error)}"
        return f"{before.name} was loaded again"

    def _serve(self, serving: Serving) -> None:
        if self.status.name == "stopping":  # a load may be done at the moment it is cancelled
            raise self.status.refusal()
        if not serving.engine.is_alive:
            raise ModelLoadFailed(f"the engine of {serving.name} ended right after loading")
        self._serving, self._wanted = serving, None
        self.engine_restart.succeeded()
        self.status.set("ok", "Server is healthy and model is loaded")

    def _fail(self, error: Exception) -> None:
        """Say that no model serves, and why."""
        if isinstance(error, ServiceStopping):
            return
        self._wanted = None
        self.status.last_failure = reason = reason_of(error)
        self.status.set("error", reason)
        log.error(
            "model_load_failed",
            error=reason,
            exc_info=unforeseen(error),
        )

    async def _drain_and_close(self, serving: Serving, timeout_s: float | None) -> None:
        self._draining.append(serving)
        try:
            await serving.engine.drained(timeout_s)
            await serving.engine.close()
        finally:
            self._draining.remove(serving)
        log.info("model_unloaded", model=serving.name, pid=serving.engine.pid)

    def _on_exit(self, engine: EngineProcess) -> None:
        self.status.oom_kills += engine.was_oom_killed
        serving = self._serving
        if serving is None or serving.engine is not engine:
            return
        self._serving = None
        if self.status.name == "stopping":
            return
        self._wanted = serving.name
        self.engine_restart.begin(serving)
        self._work.start(self.engine_restart.run(serving))


def _with_outcome(
    error: ModelLoadFailed | LoadParamsRefused, outcome: str
) -> ModelLoadFailed | LoadParamsRefused:
    """Return the error with a word on which model serves now."""
    return type(error)(f"{error.message}; {outcome}", param=error.param or "model")
