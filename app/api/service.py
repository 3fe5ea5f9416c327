"""Owns what handlers reach the rest of the service through; must not know Sanic's routing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sanic import Request

from app.api.defaults import Defaults
from app.api.doors import Doors
from app.api.meters import Metrics
from app.catalog import Catalog
from app.host.device_watch import DeviceWatch
from app.host.supervisor import Supervisor


@dataclass(slots=True)
class Service:
    """The parts handlers work with.

    Args:
        defaults: what a chat request gets that does not say otherwise.
        sse_ping_s: seconds of silence after which a stream sends a comment.
        device: knows how the device is.
        doors: who is let in.
        open_requests: returns the requests that are being answered.
    """

    catalog: Catalog
    supervisor: Supervisor
    defaults: Defaults
    sse_ping_s: float
    version: str
    metrics: Metrics
    device: DeviceWatch
    doors: Doors = field(default_factory=Doors)
    open_requests: Callable[[], Iterable[Request]] = tuple
    started_s: float = field(default_factory=time.monotonic)


def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.ctx.service
    return service
