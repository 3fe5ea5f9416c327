"""A request that ends engines is found and kept out; others like it are not."""

from __future__ import annotations

import msgspec
import pytest

from app.errors import RequestQuarantined
from app.host.quarantine import Quarantine
from app.protocol import Generate, SamplingParams


def command(content: str, request_id: str = "r") -> Generate:
    message = {"role": "user", "content": content}
    return Generate(request_id=request_id, messages=[message], sampling=SamplingParams())


def test_one_death_may_be_an_accident() -> None:
    quarantine = Quarantine()
    quarantine.blame("m", command("a"), n_deaths=1)
    quarantine.check("m", command("a"))
    assert len(quarantine) == 0


def test_after_two_the_request_is_refused_whoever_sends_it() -> None:
    quarantine = Quarantine()
    with pytest.raises(RequestQuarantined):
        quarantine.blame("m", command("a"), n_deaths=2)
    again = msgspec.structs.replace(command("a", "other"), sent_s=5.0, resumes=[[1]])
    with pytest.raises(RequestQuarantined):
        quarantine.check("m", again)
    quarantine.check("m", command("b"))
    quarantine.check("another model", command("a"))


def test_it_keeps_the_latest_only() -> None:
    quarantine = Quarantine()
    for number in range(100):
        with pytest.raises(RequestQuarantined):
            quarantine.blame("m", command(str(number)), n_deaths=2)
    assert len(quarantine) < 100
    quarantine.check("m", command("0"))
    with pytest.raises(RequestQuarantined):
        quarantine.check("m", command("99"))
