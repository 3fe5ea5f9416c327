"""Owns the trial with requests made from `/openapi.json`, whose answers are held to it.

schemathesis makes the requests, such as the document allows and such as it forbids, and judges
the answers: status, content type, headers and body are to be documented, and what the document
forbids is to be refused.
"""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from scripts.fault_trials.bodies import DEADLINE_S
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import GOOD, HANG_S, Target

_CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
_FAILURES = ("internal_error", "engine_died", "engine_unavailable", "no_model")
_LOAD_S = 60.0
_LOADS = 0.1
_FEWEST = 5


def openapi(times: int, seed: int, hang_s: float = HANG_S) -> list[Tally]:
    """Send about so many requests to all the operations together."""
    tally = Tally("requests made from `/openapi.json`")
    settings = {"request_deadline_s": DEADLINE_S}
    with TemporaryDirectory() as folder, Target(Path(folder), settings, hang_s=hang_s) as target:
        schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json")
        operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
        takers = [one for one in operations if one.body or one.query or one.path_parameters]
        each_times = max(_FEWEST, times // (2 * len(takers)))
        for operation in operations:
            _try(target, operation, GenerationMode.POSITIVE, each_times, seed, tally)
            if any("json" in body.media_type for body in operation.body):
                _try(target, operation, GenerationMode.NEGATIVE, each_times, seed, tally)
            target.check(tally, operation.label)
        if restarts := target.engine["restarts"]:
            tally.lose(f"{restarts} engines ended")
    return [tally]


def _try(
    target: Target, operation: Any, mode: GenerationMode, times: int, seed: int, tally: Tally
) -> None:
    load_all_checks()
    checks = [CHECKS.get_one(name) for name in _CHECKS]
    rng = random.Random(seed)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=times,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            _name_a_model(case, rng)
        _send(target, case, checks, tally)

    send()


def _name_a_model(case: Any, rng: random.Random) -> None:
    """Let some requests be for the model that there is; else nearly all would find none."""
    if "model_id" in (case.path_parameters or {}) and rng.random() < 0.5:
        case.path_parameters["model_id"] = GOOD
    if isinstance(case.body, dict) and "model_name" in case.body and rng.random() < _LOADS:
        case.body = {"model_name": GOOD}
    elif isinstance(case.body, dict) and case.body.get("model") and rng.random() < 0.9:
        case.body["model"] = GOOD


def _send(target: Target, case: Any, checks: list[Any], tally: Tally) -> None:
    is_load = case.operation.path == "/setModel"
    try:
        response = case.call(timeout=_LOAD_S if is_load else target.hang_s)
    except requests.RequestException as error:
        tally.note("no answer")
        tally.lose(f"{case.operation.label}: {error!r}: {str(case.body)[:300]}")
        return
    tally.note(str(response.status_code))
    if any(f'"code":"{code}"' in response.text for code in _FAILURES):
        tally.lose(f"{case.operation.label}: {response.text[:300]}: {str(case.body)[:300]}")
    try:
        case.validate_response(response, checks=checks)
    except (FailureGroup, AssertionError) as failure:
        tally.lose(f"{case.operation.label}: {str(failure)[:600]}")
