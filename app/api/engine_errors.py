"""Owns raising the errors that an engine reports."""

from __future__ import annotations

from app import errors
from app.protocol import Failed, RequestEvent
from app.web.errors import STATUS

_RETRY_AFTER_S = 1
_BY_NAME = {kind.__name__: kind for kind in STATUS}


def raise_if_failed(event: RequestEvent) -> None:
    """Raise the error that an engine reported, if this event is one."""
    if isinstance(event, Failed):
        raise from_wire(event)


def from_wire(event: Failed) -> errors.DistillerError:
    """Return the exception of a reported error, by its class name."""
    if event.kind == errors.QueueFull.__name__:
        return errors.QueueFull(event.retry_after_s or _RETRY_AFTER_S)
    if event.kind == errors.ContextOverflow.__name__:
        requested, n_ctx = event.requested or 0, event.n_ctx or 0
        return errors.ContextOverflow(requested, n_ctx, param=event.param, message=event.message)
    found = _BY_NAME.get(event.kind, errors.EnvironmentFailure)
    return found(event.message, param=event.param)
