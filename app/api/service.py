"""Owns the dependencies of the handlers; must not know Sanic's routing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from sanic import Request

from app.answer_store.store import AnswerStore
from app.api.defaults import Defaults
from app.api.metric_registry import Metrics
from app.api.streaming.detached import DetachedAnswers
from app.device.watch import DeviceWatch
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.answers import StoreParams
from app.parameters.timeouts import Timeouts
from app.web.access_control import AccessPolicy


@dataclass(slots=True)
class Service:
    """The dependencies of the handlers.

    Args:
        defaults: values of fields that a request does not set.
        timeouts: those of the HTTP process.
        device: provides the readings of the device.
        access_policy: the access rules.
        store_params: how much is kept of answers.
        cache_dir: where that is.
        answer_store: keeps answers that clients go on from.
        detached: the answers whose clients may come back.
        background: the answers that run without a client.
    """

    catalog: Catalog
    supervisor: Supervisor
    defaults: Defaults
    timeouts: Timeouts
    version: str
    metrics: Metrics
    device: DeviceWatch
    store_params: StoreParams
    cache_dir: Path
    access_policy: AccessPolicy = field(default_factory=AccessPolicy)
    started_s: float = field(default_factory=time.monotonic)
    answer_store: AnswerStore = field(init=False)
    detached: DetachedAnswers = field(init=False)
    background: DetachedAnswers = field(init=False)

    def __post_init__(self) -> None:
        """Have the answers that outlive their clients follow the current settings."""
        self.answer_store = AnswerStore(self.cache_dir, lambda: self.store_params)
        self.detached = DetachedAnswers(lambda: self.timeouts.resume_window_s)
        self.background = DetachedAnswers(
            lambda: self.timeouts.resume_window_s, waits_for_readers=False
        )

    def detached_requests(self) -> list[Request]:
        """Return the requests of running answers that nobody reads now."""
        return [*self.detached.requests(), *self.background.requests()]


def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.ctx.service
    return service
