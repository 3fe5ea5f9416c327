"""Owns the dependencies of the handlers; must not know Sanic's routing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sanic import Request

from app.api.defaults import Defaults
from app.api.keep_alive import KeepAlive
from app.api.metric_registry import Metrics
from app.api.running_answers import RunningAnswers
from app.device.watch import DeviceWatch
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.web.access_control import AccessPolicy


@dataclass(slots=True)
class Service:
    """The dependencies of the handlers.

    Args:
        defaults: values of fields that a request does not set.
        timeouts: those of the HTTP process.
        device: provides the readings of the device.
        running_answers: those that clients may control.
        access_policy: the access rules.
        keep_alive: how long models are kept, as Ollama's clients ask for it.
    """

    catalog: Catalog
    supervisor: Supervisor
    defaults: Defaults
    timeouts: Timeouts
    version: str
    metrics: Metrics
    device: DeviceWatch
    running_answers: RunningAnswers = field(default_factory=RunningAnswers)
    access_policy: AccessPolicy = field(default_factory=AccessPolicy)
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    started_s: float = field(default_factory=time.monotonic)


def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.ctx.service
    return service
