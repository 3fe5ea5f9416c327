"""Owns `GET /metrics`."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sanic import HTTPResponse, Request

from app.api.route import Route
from app.api.service import service_of


async def metrics(request: Request) -> HTTPResponse:
    """Return the metrics."""
    service = service_of(request)
    await service.device.fresh()
    return HTTPResponse(service.metrics.text(), content_type=CONTENT_TYPE_LATEST)


ROUTES = (
    Route(
        method="get",
        path="/metrics",
        handler=metrics,
        summary="Return the metrics in Prometheus' text format",
    ),
)
