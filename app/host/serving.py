"""Owns what the service can say of itself: the model that serves, and the state it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.errors import DistillerError, EngineUnavailable, NoModelLoaded, ServiceStopping
from app.host.load_plan import LoadPlan
from app.host.process.engine_process import EngineProcess
from app.host.profiles import ProfileState
from app.protocol import CacheParams, ModelInfo

StatusName = Literal["ok", "loading", "restarting", "no_model", "error", "stopping"]


@dataclass(frozen=True, slots=True)
class Serving:
    """A model that serves.

    Args:
        plan: what was asked for and what became of it.
        info: what the engine reported.
        engine: the process.
        since_s: monotonic time of the load.
        cache: what the engine was told of the disk tier.
        profiles: what became of the profiles when it was loaded.
    """

    plan: LoadPlan
    info: ModelInfo
    engine: EngineProcess
    since_s: float
    cache: CacheParams
    profiles: Sequence[ProfileState]

    @property
    def name(self) -> str:
        """The model's file name."""
        return self.plan.file.name


@dataclass(slots=True)
class Status:
    """What the service can say of itself at any moment."""

    name: StatusName = "no_model"
    message: str = (
        "No model is loaded; put a .gguf file into the models folder and name it in 'model' "
        "or POST /setModel"
    )
    restarts: int = 0
    last_failure: str | None = None
    oom_kills: int = 0
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, name: StatusName, message: str) -> None:
        """Say what state the service is in now; there is no way back from `stopping`."""
        if self.name != "stopping":
            self.name = name
            self.message = message
            self._change.set()
            self._change = asyncio.Event()

    async def changed(self) -> None:
        """Wait until the state is said anew."""
        await self._change.wait()

    def refusal(self) -> DistillerError:
        """Return the error for a request while nothing serves."""
        match self.name:
            case "loading" | "restarting":
                return EngineUnavailable(self.message)
            case "stopping":
                return ServiceStopping(self.message)
            case _:
                return NoModelLoaded(self.message)

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each thing that is wrong although a model may serve."""
        if self.oom_kills:
            times = "once" if self.oom_kills == 1 else f"{self.oom_kills} times"
            yield (
                f"Memory was so short that the kernel ended the engine {times} since the start; "
                "a smaller n_ctx or model needs less"
            )
