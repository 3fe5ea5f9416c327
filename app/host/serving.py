"""Owns the state of the service: the model that serves, and the status that clients see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from app.errors import (
    CallerError,
    DistillerError,
    EngineUnavailable,
    ModelLoadFailed,
    NoModelLoaded,
    ServiceStopping,
    reason_of,
)
from app.host.load_plan import LoadPlan
from app.host.process.engine_process import EngineProcess
from app.host.profiles import ProfileState
from app.protocol import CacheParams, ModelInfo

StatusName = Literal["ok", "loading", "restarting", "no_model", "error", "stopping"]
ModelState = Literal["loaded", "loading", "failed", "unloaded"]

_RESTARTING = "The engine process exited and is being restarted"


@dataclass(frozen=True, slots=True)
class Serving:
    """A model that serves requests.

    Args:
        plan: how it was loaded.
        info: what the engine reported.
        engine: the process.
        since_s: monotonic time of the load.
        cache: the disk tier's parameters, as sent to the engine.
        profiles: the state of each profile after the load.
        parallel: how many requests the engine decodes at once.
    """

    plan: LoadPlan
    info: ModelInfo
    engine: EngineProcess
    since_s: float
    cache: CacheParams
    profiles: Sequence[ProfileState]
    parallel: int

    @property
    def name(self) -> str:
        """The model's file name."""
        return self.plan.file.name


@dataclass(slots=True)
class Status:
    """The service's state machine; `stopping` is final.

    Attributes:
        serving: the model that serves, if any.
        pending: name of the model that is being loaded or restarted while none serves.
        attempted: name of the model that is being loaded, also beside the one that serves.
        failures: why models could not be loaded when that was last tried, by name.
        not_loaded: why models that the start tried before this one did not load, by name.
    """

    name: StatusName = "no_model"
    message: str = (
        "No model is loaded; put a .gguf file into the models folder and name it in 'model' "
        "or POST /setModel"
    )
    serving: Serving | None = None
    pending: str | None = None
    restarts: int = 0
    last_failure: str | None = None
    oom_kills: int = 0
    attempted: str | None = None
    failures: dict[str, str] = field(default_factory=dict)
    not_loaded: dict[str, str] = field(default_factory=dict)
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    # ------------------------------------------------------------ transitions

    def begin_load(self, model_name: str, message: str) -> None:
        """No model serves; one is being loaded."""
        self.serving, self.pending = None, model_name
        self._set("loading", message)

    def begin_restart(self, model_name: str, reason: str | None) -> None:
        """The engine that served has exited; its model is being loaded again."""
        self.serving = None
        if self.name != "stopping":
            self.pending, self.last_failure = model_name, reason
            self._set("restarting", _RESTARTING)

    @contextmanager
    def attempt(self, model_name: str) -> Iterator[None]:
        """Within this, a model is being loaded; if that fails, the reason is kept."""
        self.attempted = model_name
        try:
            yield
        except (CallerError, ServiceStopping):
            raise  # the file is not at fault
        except Exception as error:
            self.failures[model_name] = reason_of(error)
            raise
        finally:
            self.attempted = None

    def state_of(self, model_name: str) -> ModelState:
        """Return what clients are told of a model in the models folder."""
        if self.serving and self.serving.name == model_name:
            return "loaded"
        if model_name in (self.pending, self.attempted):
            return "loading"
        return "failed" if model_name in self.failures else "unloaded"

    def report_progress(self, message: str) -> None:
        """Replace the message of a load or restart."""
        if self.name in ("loading", "restarting"):
            self.message = message

    def record_restart(self, reason: str | None = None) -> None:
        """Count a restart of the engine; `reason` replaces the last failure."""
        self.restarts += 1
        self.last_failure = reason or self.last_failure

    def record_restart_failure(self, reason: str) -> None:
        """A restart has failed; wakes the requests that wait for it."""
        self.last_failure = reason
        if self.name == "restarting":
            self._set("restarting", _RESTARTING)

    def serve(self, serving: Serving) -> None:
        """A model serves from now on.

        Raises:
            ServiceStopping: the service began to stop while the model was being loaded.
            ModelLoadFailed: the engine has exited already.
        """
        if self.name == "stopping":
            raise self.refusal()
        if not serving.engine.is_alive:
            raise ModelLoadFailed(f"the engine of {serving.name} exited right after the load")
        self.serving, self.pending = serving, None
        self.not_loaded.pop(serving.name, None)
        self.failures.pop(serving.name, None)
        self._set("ok", "Server is healthy and model is loaded")

    def fail(self, reason: str) -> None:
        """No model serves, and none is being loaded."""
        self.pending = None
        self.last_failure = reason
        self._set("error", reason)

    def stop(self) -> None:
        """The service is shutting down."""
        self._set("stopping", "Server is shutting down")

    def _set(self, name: StatusName, message: str) -> None:
        if self.name != "stopping":
            self.name = name
            self.message = message
            self._change.set()
            self._change = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next transition."""
        await self._change.wait()

    # ------------------------------------------------------------ reports

    def refusal(self) -> DistillerError:
        """Return the error for a request while no model serves."""
        match self.name:
            case "loading" | "restarting":
                return EngineUnavailable(self.message)
            case "stopping":
                return ServiceStopping(self.message)
            case _:
                return NoModelLoaded(self.message)

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each problem that persists although a model may serve."""
        if self.serving:
            for name, reason in self.not_loaded.items():
                yield f"{name} was to serve but did not load: {reason}"
        if self.oom_kills:
            times = "once" if self.oom_kills == 1 else f"{self.oom_kills} times"
            yield (
                f"The kernel's OOM killer has ended the engine {times} since the start; "
                "a smaller n_ctx or model needs less memory"
            )
