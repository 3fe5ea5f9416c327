"""Owns `/chat/completions/control`, which ends reasoning; the names are llama-server's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from sanic import HTTPResponse, Request

from app.api.schemas.common import Lenient
from app.api.service import service_of
from app.protocol import EndReasoning
from app.web.access_control import owner_of
from app.web.json_body import json_response, parse

_UNKNOWN = "no active completion with reasoning_control has this id"


class ControlRequest(Lenient):
    """Body of `POST /chat/completions/control`."""

    id: str = Field(min_length=1, max_length=255, description="The id of the answer.")
    action: Literal["reasoning_end"] = Field(description="Ends the reasoning; the answer follows.")


class ControlResponse(BaseModel):
    """Answer of `POST /chat/completions/control`."""

    success: bool
    message: str | None = Field(None, description="Why there was no success.")


async def control(request: Request) -> HTTPResponse:
    """End the reasoning of a running answer of the same client."""
    body = parse(request.body, ControlRequest)
    service = service_of(request)
    found = service.running_answers.find(body.id, owner_of(request))
    engines = [each.engine for each in service.supervisor.loaded if each.engine.is_alive]
    if found is None or not engines:
        return json_response({"success": False, "message": _UNKNOWN})
    for engine in engines:
        for request_id in found.request_ids:
            engine.tell(EndReasoning(request_id=request_id))
    return json_response({"success": True})
