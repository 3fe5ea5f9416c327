"""Owns the profiles: conversation prefixes that an engine restores before it serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.base.json_types import JsonObject, as_json
from app.errors import DistillerError, EngineDied
from app.host.process.engine_process import EngineProcess
from app.logs import get_logger
from app.models.names import meant
from app.protocol import Failed, Finished, KeepProfiles, Prefill

log = get_logger("profiles")


@dataclass(frozen=True, slots=True)
class Profile:
    """A named conversation prefix.

    Args:
        model: name of its model, not an alias; empty is every model.
    """

    name: str
    messages: list[JsonObject]
    tools: list[JsonObject]
    model: str = ""

    def is_for(self, model_name: str) -> bool:
        """Whether it applies to a model, by the rules of `app.models.names`."""
        return not self.model or bool(meant(self.model, [model_name], {}))


@dataclass(slots=True)
class ProfileState:
    """The state of a profile; `message` is why it failed."""

    name: str
    state: Literal["waiting", "restoring", "ready", "failed", "other_model"]
    message: str = ""


class ProfileRestore:
    """Restores the profiles of one model.

    A profile that fails is skipped; one that crashed the engine is skipped at the next attempt.

    Args:
        model_name: file name of the model.
        report: called with a message about the progress.
    """

    def __init__(
        self, profiles: Sequence[Profile], model_name: str, report: Callable[[str], None]
    ) -> None:
        self._wanted = [profile for profile in profiles if profile.is_for(model_name)]
        self._model_name = model_name
        self._report = report
        self.states = [
            ProfileState(profile.name, "waiting" if profile in self._wanted else "other_model")
            for profile in profiles
        ]
        self._state_of = {state.name: state for state in self.states}

    async def run(self, engine: EngineProcess) -> None:
        """Restore every profile in `engine`, one after another.

        Raises:
            EngineDied: a profile crashed the engine; run again with another engine.
        """
        for number, profile in enumerate(self._wanted, start=1):
            state = self._state_of[profile.name]
            if state.state != "failed":
                count = f"{number} of {len(self._wanted)}"
                self._report(f"Profile '{profile.name}' is being restored ({count})")
                await self._restore(profile, state, engine)
        engine.tell(KeepProfiles(names=[profile.name for profile in self._wanted]))

    async def _restore(self, profile: Profile, state: ProfileState, engine: EngineProcess) -> None:
        state.state = "restoring"
        command = Prefill(
            request_id=f"profile-{profile.name}",
            messages=as_json(profile.messages),
            tools=as_json(profile.tools),
            profile=profile.name,
        )
        try:
            last = await engine.ask(command, command.request_id)
        except EngineDied:
            self._fail(state, "the engine exited while restoring this profile")
            raise
        except DistillerError as error:
            self._fail(state, error.message)
            return
        match last:
            case Finished():
                state.state = "ready"
                self._log_success(profile, last)
            case Failed():
                self._fail(state, last.message)
            case _:
                raise RuntimeError(f"an engine answered Prefill with {type(last).__name__}")

    def _log_success(self, profile: Profile, last: Finished) -> None:
        log.info(
            "profile_restored",
            profile=profile.name,
            model=self._model_name,
            prompt_tokens=last.usage.prompt_tokens,
            cached_tokens=last.usage.cached_tokens,
            tier=last.timings.tier,
            restore_ms=last.timings.restore_ms,
            saved=last.saved,
        )

    def _fail(self, state: ProfileState, message: str) -> None:
        state.state, state.message = "failed", message
        log.warning("profile_failed", profile=state.name, model=self._model_name, error=message)
