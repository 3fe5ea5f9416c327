"""Owns the way from a plan to a model that serves: process, weights, cache folder, profiles.

It must not know which model serves now; the supervisor decides that.
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
    """Starts engines and knows all that run.

    Args:
        queue: how many requests an engine takes.
        cache: the folder of the disk tier.
        profiles: what every engine has ready before it serves.
        timeouts: of loading and of silent engines.
        status: told of profiles being restored and of engines that end meanwhile.
        on_exit: called when an engine has ended, for whatever reason.
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
        self.profile_states: Sequence[ProfileState] = self._restoration("").states

    @property
    def heard_s(self) -> float | None:
        """Monotonic time of the last word of the engine that is being loaded."""
        return self._loading.heard_s if self._loading else None

    @property
    def fraction(self) -> float | None:
        """How much of the model that is being loaded is there, 0.0 to 1.0."""
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

        An engine that ends over a profile is started again without that one.

        Args:
            spawned: an engine that was started early, to be used for it.

        Raises:
            ModelLoadFailed: the model could not be loaded.
            LoadParamsRefused: one of the parameters makes the model unloadable.
        """
        restoration = self._restoration(plan.file.name)
        self.profile_states = restoration.states
        while True:
            try:
                return await self._load_once(plan, spawned or _spawn(), restoration)
            except EngineDied as error:
                spawned = None
                self._status.restarts += 1
                self._status.last_failure = error.message
                self._say(f"Model {plan.file.name} is being loaded again after its engine ended")

    def end_requests(self) -> None:
        """Have all requests in flight end with an error now, as the service stops."""
        for engine in self._engines:
            engine.end_requests()

    async def close(self) -> None:
        """End all engines, then let go of the cache folder."""
        await asyncio.gather(*(engine.close() for engine in self._engines))
        self.cache.release()

    async def _load_once(
        self, plan: LoadPlan, spawned: SpawnedEngine, restoration: ProfileRestore
    ) -> Serving:
        engine = EngineProcess(spawned, self._ended, silence_s=self.timeouts.engine_timeout_s)
        self._engines.add(engine)
        self._loading = engine
        try:
            cache = await self.cache.claim()
            command = Load(
                model_path=str(plan.file.path), params=plan.params, queue=self.queue, cache=cache
            )
            info = await engine.load(command, self.timeouts.load_timeout_s)
            _log_loaded(plan, info, engine)
            await restoration.run(engine)
        except EngineDied:
            await engine.ended()
            raise EngineDied(engine.exit_reason or "") from None
        except BaseException:
            await engine.close(grace_s=0.0)
            self._engines.discard(engine)
            raise
        finally:
            self._loading = None
        return Serving(plan, info, engine, time.monotonic(), cache, restoration.states)

    def _restoration(self, model_name: str) -> ProfileRestore:
        return ProfileRestore(self._profiles, model_name, self._say)

    def _say(self, message: str) -> None:
        """Say what is going on, unless a model serves meanwhile."""
        if self._status.name in ("loading", "restarting"):
            self._status.message = message

    def _ended(self, engine: EngineProcess) -> None:
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
