"""Owns loading a model: spawn the engine, load the weights, restore the profiles.

It must not know which model serves; the supervisor decides that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from app.errors import EngineDied, ModelLoadFailed
from app.host.cache_folder import CacheFolder
from app.host.load_plan import LoadPlan
from app.host.process.engine_process import EngineProcess
from app.host.process.spawn import SpawnedEngine
from app.host.profiles import Profile, ProfileRestore, ProfileState
from app.host.serving import Serving, Status
from app.logs import get_logger
from app.parameters.timeouts import Timeouts
from app.protocol import Load, ModelInfo, QueueParams

log = get_logger("supervisor")


class Loader:
    """Starts engines and tracks those that run.

    Args:
        queue: how many requests an engine takes.
        cache: the folder of the disk tier.
        profiles: restored in every engine before it serves.
        timeouts: of loads and of hung engines.
        status: gets the progress of the load, and engines that exit during it.
        on_exit: called when an engine has exited, for whatever reason.
    """

    def __init__(
        self,
        queue: QueueParams,
        cache: CacheFolder,
        profiles: Sequence[Profile],
        timeouts: Timeouts,
        *,
        status: Status,
        on_exit: Callable[[EngineProcess], None],
    ) -> None:
        self.queue = queue
        self._profiles = profiles
        self.timeouts = timeouts
        self._status = status
        self._on_exit = on_exit
        self._engines: set[EngineProcess] = set()
        self._loading: EngineProcess | None = None
        self.cache = cache
        self.profile_states: Sequence[ProfileState] = self._new_restore("").states

    @property
    def last_event_s(self) -> float | None:
        """Monotonic time of the last event of the engine that is being loaded."""
        return self._loading.last_event_s if self._loading else None

    @property
    def load_fraction(self) -> float | None:
        """The progress of the load, 0.0 to 1.0; None if none is in progress."""
        return self._loading.load_fraction if self._loading else None

    def reconfigure(
        self, queue: QueueParams, profiles: Sequence[Profile], timeouts: Timeouts
    ) -> None:
        """Use other values from the next load on."""
        self.queue = queue
        self._profiles = profiles
        self.timeouts = timeouts

    async def load(self, plan: LoadPlan, spawned: SpawnedEngine | None = None) -> Serving:
        """Load a model and restore its profiles.

        An engine that exits while it restores a profile is restarted without that profile.

        Args:
            spawned: an engine that was spawned early.

        Raises:
            ModelLoadFailed: the model could not be loaded.
            LoadParamsRefused: a parameter makes the model unloadable.
        """
        restore = self._new_restore(plan.file.name)
        self.profile_states = restore.states
        while True:
            try:
                return await self._load_once(plan, spawned or _spawn(), restore)
            except EngineDied as error:
                spawned = None
                self._status.record_restart(error.message)
                self._status.report_progress(
                    f"Model {plan.file.name} is being loaded again after its engine exited"
                )

    def end_requests(self) -> None:
        """Fail all requests in flight because the service stops."""
        for engine in self._engines:
            engine.end_requests()

    async def close(self) -> None:
        """Shut all engines down, then release the cache folder."""
        await asyncio.gather(*(engine.close() for engine in self._engines))
        self.cache.release()

    async def _load_once(
        self, plan: LoadPlan, spawned: SpawnedEngine, restore: ProfileRestore
    ) -> Serving:
        engine = EngineProcess(
            spawned, self._on_engine_exit, silence_s=self.timeouts.engine_timeout_s
        )
        self._engines.add(engine)
        self._loading = engine
        try:
            cache = await self.cache.claim()
            queue = self.queue
            command = Load(
                model_path=str(plan.file.path), params=plan.params, queue=queue, cache=cache
            )
            info = await engine.load(command, self.timeouts.load_timeout_s)
            _log_loaded(plan, info, engine)
            await restore.run(engine)
        except EngineDied:
            await engine.exited()
            raise EngineDied(engine.exit_reason or "") from None
        except BaseException as error:
            await engine.close(grace_s=0.0)
            self._engines.discard(engine)
            if isinstance(error, ModelLoadFailed) and plan.file.name not in error.message:
                raise ModelLoadFailed(f"{plan.file.name}: {error.message}") from error
            raise
        finally:
            self._loading = None
        return Serving(plan, info, engine, time.monotonic(), cache, restore.states, queue.parallel)

    def _new_restore(self, model_name: str) -> ProfileRestore:
        return ProfileRestore(self._profiles, model_name, self._status.report_progress)

    def _on_engine_exit(self, engine: EngineProcess) -> None:
        self._engines.discard(engine)
        self._on_exit(engine)


def _log_loaded(plan: LoadPlan, info: ModelInfo, engine: EngineProcess) -> None:
    log.info(
        "model_loaded",
        model=plan.file.name,
        description=info.description,
        n_ctx=info.n_ctx,
        load_ms=info.load_ms,
        pid=engine.pid,
        notes=list(plan.notes),
    )


def _spawn() -> SpawnedEngine:
    try:
        return SpawnedEngine()
    except OSError as error:
        raise ModelLoadFailed(f"the engine process could not be started: {error}") from error
