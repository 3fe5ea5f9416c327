"""A request that ends engines is found and kept out; others like it are not."""

from __future__ import annotations

import msgspec
import pytest

from app.base.json_types import as_json
from app.errors import RequestQuarantined
from app.host.quarantine import Quarantine
from app.protocol import Generate, SamplingParams


def command(content: str, request_id: str = "r") -> Generate:
    message = {"role": "user", "content": content}
    return Generate(request_id=request_id, messages=as_json([message]), sampling=SamplingParams())


def test_one_death_may_be_an_accident() -> None:
    quarantine = Quarantine()
    quarantine.record_crash("m", command("a"), n_crashes=1, is_shared=False)
    quarantine.check("m", command("a"))
    assert len(quarantine) == 0


def test_after_two_the_request_is_refused_whoever_sends_it() -> None:
    quarantine = Quarantine()
    with pytest.raises(RequestQuarantined):
        quarantine.record_crash("m", command("a"), n_crashes=2, is_shared=False)
    again = msgspec.structs.replace(command("a", "other"), sent_s=5.0, resumes=[[1]])
    with pytest.raises(RequestQuarantined):
        quarantine.check("m", again)
    quarantine.check("m", command("b"))
    quarantine.check("another model", command("a"))


def test_more_are_borne_where_another_one_may_be_at_fault() -> None:
    quarantine = Quarantine()
    for n_crashes in (1, 2, 3):
        quarantine.record_crash("m", command("a"), n_crashes, is_shared=True)
    quarantine.check("m", command("a"))
    with pytest.raises(RequestQuarantined):
        quarantine.record_crash("m", command("a"), 4, is_shared=True)


def test_it_keeps_the_latest_only() -> None:
    quarantine = Quarantine()
    for number in range(100):
        with pytest.raises(RequestQuarantined):
            quarantine.record_crash("m", command(str(number)), n_crashes=2, is_shared=False)
    assert len(quarantine) < 100
    quarantine.check("m", command("0"))
    with pytest.raises(RequestQuarantined):
        quarantine.check("m", command("99"))


def test_it_forgets_after_an_hour() -> None:
    now_s = [100.0]
    quarantine = Quarantine(lambda: now_s[0])
    with pytest.raises(RequestQuarantined):
        quarantine.record_crash("m", command("a"), n_crashes=2, is_shared=False)
    now_s[0] += 3599.0
    with pytest.raises(RequestQuarantined):
        quarantine.check("m", command("a"))
    now_s[0] += 2.0
    quarantine.check("m", command("a"))
