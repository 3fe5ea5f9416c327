"""Owns what handlers reach the rest of the service through; must not know Sanic's routing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sanic import Request

from app.api.defaults import Defaults
from app.api.metric_registry import Metrics
from app.device.watch import DeviceWatch
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.web.access_control import AccessPolicy


@dataclass(slots=True)
class Service:
    """The parts handlers work with.

    Args:
        defaults: what a chat request gets that does not say otherwise.
        timeouts: how long clients are waited for.
        device: knows how the device is.
        access_policy: who is let in.
    """

    catalog: Catalog
    supervisor: Supervisor
    defaults: Defaults
    timeouts: Timeouts
    version: str
    metrics: Metrics
    device: DeviceWatch
    access_policy: AccessPolicy = field(default_factory=AccessPolicy)
    started_s: float = field(default_factory=time.monotonic)


def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.ctx.service
    return service
