"""Owns `GET /metrics`."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sanic import Blueprint, HTTPResponse, Request

from app.api.service import service_of

blueprint = Blueprint("metrics")


@blueprint.get("/metrics", name="metrics")
async def metrics(request: Request) -> HTTPResponse:
    """Return the metrics."""
    service = service_of(request)
    await service.device.fresh()
    return HTTPResponse(service.metrics.text(), content_type=CONTENT_TYPE_LATEST)
