"""Owns the dependencies of the handlers; must not know Sanic's routing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from sanic import Request

from app.answer_store.store import AnswerStore
from app.api.defaults import Defaults
from app.api.keep_alive import KeepAlive
from app.api.metric_registry import Metrics
from app.api.streaming.detached import DetachedAnswers
from app.api.streaming.running_answers import RunningAnswers
from app.device.watch import DeviceWatch
from app.host.secret_key import SecretKey
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.models.content.digests import FileDigests
from app.parameters.timeouts import Timeouts
from app.web.access_control import AccessPolicy


@dataclass(slots=True)
class Service:
    """The dependencies of the handlers.

    Args:
        defaults: values of fields that a request does not set.
        timeouts: those of the HTTP process.
        client_limits: limits on generated tokens that clients have of their own, by the names of
            their keys.
        device: provides the readings of the device.
        running_answers: those that clients may control.
        access_policy: the access rules.
        answer_store: keeps answers that clients go on from.
        detached: the answers whose clients may come back.
        background: the answers that run without a client.
        keep_alive: how long models are kept, as Ollama's clients ask for it.
        secret_key: signs what clients send back.
        digests: those of the model files.
    """

    catalog: Catalog
    supervisor: Supervisor
    defaults: Defaults
    timeouts: Timeouts
    version: str
    metrics: Metrics
    device: DeviceWatch
    client_limits: Mapping[str, int] = field(default_factory=dict)
    running_answers: RunningAnswers = field(default_factory=RunningAnswers)
    access_policy: AccessPolicy = field(default_factory=AccessPolicy)
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    secret_key: SecretKey = field(default_factory=SecretKey)
    digests: FileDigests = field(default_factory=FileDigests)
    answer_store: AnswerStore = field(default_factory=AnswerStore)
    started_s: float = field(default_factory=time.monotonic)
    detached: DetachedAnswers = field(init=False)
    background: DetachedAnswers = field(init=False)

    def __post_init__(self) -> None:
        """Have the answers that outlive their clients follow the current settings."""
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
