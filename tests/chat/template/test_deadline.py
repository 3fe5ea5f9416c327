"""A computation ends at its deadline, and whoever used the alarm before has it back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.chat.template.deadline import DeadlinePassed, run_with_deadline


@pytest.fixture(autouse=True)
def no_other_alarm() -> Iterator[None]:
    """Stop the alarm of pytest's own timeout for a moment."""
    handler, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def forever() -> None:
    while True:
        pass


def stubborn() -> None:
    while True:
        with contextlib.suppress(Exception):
            forever()


def test_what_is_done_in_time_is_returned() -> None:
    assert run_with_deadline(lambda: 7, 10.0) == 7
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_errors_of_the_work_are_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        run_with_deadline(lambda: 1 // 0, 10.0)


@pytest.mark.parametrize("work", [forever, stubborn])
def test_what_runs_on_is_cut_off_even_if_it_catches_errors(work: object) -> None:
    assert callable(work)
    with pytest.raises(DeadlinePassed):
        run_with_deadline(work, 0.05)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_handler_and_a_timer_found_there_are_put_back() -> None:
    def own(*_: object) -> None:
        raise AssertionError("an hour is not over")

    signal.signal(signal.SIGALRM, own)
    signal.setitimer(signal.ITIMER_REAL, 3600.0)
    run_with_deadline(lambda: None, 10.0)
    assert signal.getsignal(signal.SIGALRM) is own
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 3500.0 < left_s <= 3600.0


def test_other_threads_have_no_deadline() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run_with_deadline, lambda: 7, 0.0).result() == 7
