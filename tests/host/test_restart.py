"""A model whose engine died is loaded again until it serves, whatever a try ends with."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import cast

import pytest
from structlog.testing import capture_logs

from app.errors import EngineUnavailable, LoadParamsRefused, ModelLoadFailed, QueueFull
from app.host.load_plan import LoadPlan
from app.host.loader import Loader
from app.host.restart import Backoff, EngineRestart
from app.host.serving import Serving, Status
from app.parameters.queue import QueueParams
from app.parameters.timeouts import Timeouts

PLAN = cast(LoadPlan, object())
FAILURES = [
    (ModelLoadFailed("no such file"), "no such file"),
    (LoadParamsRefused("its template takes too long", param="chat_template"), "its template"),
    (OSError(24, "Too many open files"), "OSError: [Errno 24] Too many open files"),
    (RuntimeError("a defect"), "RuntimeError: a defect"),
]


@dataclass
class Engine:
    has_generated: bool = True
    is_alive: bool = True
    exit_reason: str = "SIGKILL"


@dataclass
class Served:
    """What a restart knows of a model that serves."""

    engine: Engine
    plan: LoadPlan = PLAN
    name: str = "m.gguf"
    since_s: float = 0.0


class Failing:
    """A loader that fails as often as the test says, and the supervisor around it."""

    timeouts = Timeouts(load_timeout_s=60)
    queue = QueueParams(max_queue=1)

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.plans: list[LoadPlan] = []
        self.waits_s: list[float] = []
        self.status = Status()
        self.engine_restart = EngineRestart(
            cast(Loader, self),
            self.status,
            asyncio.Lock(),
            sleep=self.sleep,
        )

    async def load(self, plan: LoadPlan) -> Serving:
        self.plans.append(plan)
        if self.failures:
            raise self.failures.pop(0)
        return serving()

    async def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)

    @property
    def served(self) -> Serving | None:
        return self.status.serving

    async def bring_back(self, dead: Serving) -> None:
        self.engine_restart.begin(dead)
        await self.engine_restart.run(dead)


def serving(*, has_generated: bool = True) -> Serving:
    return cast(Serving, Served(Engine(has_generated), since_s=time.monotonic()))


async def test_an_engine_that_did_its_work_is_replaced_at_once() -> None:
    host = Failing()
    await host.bring_back(serving())
    assert host.plans == [PLAN]
    assert host.waits_s == [0.0]
    assert (host.status.name, host.status.restarts) == ("ok", 1)
    assert host.status.last_failure == "SIGKILL"


async def test_it_is_tried_again_after_longer_and_longer_waits() -> None:
    host = Failing(*[ModelLoadFailed("no")] * 8)
    await host.bring_back(serving())
    assert host.waits_s == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert (host.status.name, host.status.restarts) == ("ok", 9)


async def test_engines_that_do_no_work_are_replaced_ever_later() -> None:
    host = Failing()
    for _ in range(3):
        await host.bring_back(serving(has_generated=False))
    assert host.waits_s == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("failure", "reason"), FAILURES)
async def test_whatever_a_try_ends_with_is_logged_and_tried_again(
    failure: Exception, reason: str
) -> None:
    host = Failing(failure)
    with capture_logs() as lines:
        await host.bring_back(serving())
    assert host.status.name == "ok"
    assert reason in (host.status.last_failure or "")
    (line,) = lines
    assert (line["event"], line["model"]) == ("engine_restart_failed", "m.gguf")
    assert reason in line["error"]
    is_defect = not isinstance(failure, ModelLoadFailed | LoadParamsRefused)
    assert line["exc_info"] is (failure if is_defect else None)


@pytest.mark.parametrize(("failure", "_"), FAILURES)
async def test_nobody_waits_once_three_starts_have_failed(failure: Exception, _: str) -> None:
    host = Failing(*[failure] * 3)

    async def stop_after_three(wait_s: float) -> None:
        if not host.failures:
            with pytest.raises(EngineUnavailable):
                await host.engine_restart.queue_for_restart()
        await host.sleep(wait_s)

    host.engine_restart._sleep = stop_after_three
    await host.bring_back(serving())
    assert host.waits_s == [0.0, 0.5, 1.0, 2.0]


async def test_requests_wait_for_the_next_engine_but_no_more_than_a_queue_holds() -> None:
    host = Failing()
    dead = serving()
    host.engine_restart.begin(dead)
    waiting = asyncio.create_task(host.engine_restart.queue_for_restart())
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await host.engine_restart.queue_for_restart()
    await host.engine_restart.run(dead)
    assert await waiting is host.served


async def test_a_model_that_serves_meanwhile_ends_the_restart() -> None:
    host = Failing()
    dead = serving()
    host.engine_restart.begin(dead)
    host.status.serve(other := serving())
    await host.engine_restart.run(dead)
    assert host.served is other
    assert host.plans == []


async def test_a_stop_ends_the_restart_without_a_failure() -> None:
    host = Failing()

    async def stop(_: float) -> None:
        host.status.stop()

    host.engine_restart._sleep = stop
    with capture_logs() as lines:
        await host.bring_back(serving())
    assert host.served is None
    assert lines == []


# ---------------------------------------------------------------- backoff


def test_delays_grow_from_none_to_half_a_minute() -> None:
    backoff = Backoff()
    delays = [backoff.next_delay_s() for _ in range(9)]
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize(("was_stable", "expected"), [(True, [0.0, 0.5]), (False, [1.0, 2.0])])
def test_only_a_stable_engine_resets_the_delay(was_stable: bool, expected: list[float]) -> None:
    backoff = Backoff()
    delays = [backoff.next_delay_s(), backoff.next_delay_s()]
    backoff.begin(was_stable=was_stable)
    assert delays == [0.0, 0.5]
    assert [backoff.next_delay_s(), backoff.next_delay_s()] == expected


def test_requests_fail_fast_after_three_failures_until_the_next_crash() -> None:
    backoff = Backoff()
    seen = []
    for _ in range(3):
        backoff.record_failure()
        seen.append(backoff.is_failing)
    assert seen == [False, False, True]
    backoff.begin(was_stable=False)
    assert not backoff.is_failing
