"""Owns the routes of stored responses."""

from __future__ import annotations

from app.api.dialects.responses.answer_schemas import ResponseObject
from app.api.dialects.responses.stored.handlers import (
    cancel_response,
    delete,
    list_input_items,
    retrieve,
)
from app.api.dialects.responses.stored.schemas import DeletedResponse, InputItemList
from app.api.route import GUARDED, Route

_ERRORS = (*GUARDED, 404)
_PATH = "/responses/{response_id}"

ROUTES = (
    Route(
        method="get",
        path=_PATH,
        aliases=(f"/v1{_PATH}",),
        handler=retrieve,
        summary="Return a stored or running response",
        response=ResponseObject,
        query={
            "stream": "`true` sends the events of its stream, live if it still runs.",
            "starting_after": "The `sequence_number` of the last event that the client has.",
        },
        errors=_ERRORS,
        streams=True,
    ),
    Route(
        method="delete",
        path=_PATH,
        aliases=(f"/v1{_PATH}",),
        handler=delete,
        summary="Delete a stored response",
        response=DeletedResponse,
        errors=_ERRORS,
    ),
    Route(
        method="post",
        path=f"{_PATH}/cancel",
        aliases=(f"/v1{_PATH}/cancel",),
        handler=cancel_response,
        summary="Cancel a response that runs in the background",
        response=ResponseObject,
        errors=_ERRORS,
    ),
    Route(
        method="get",
        path=f"{_PATH}/input_items",
        aliases=(f"/v1{_PATH}/input_items",),
        handler=list_input_items,
        summary="List the input items of a stored response",
        response=InputItemList,
        query={
            "limit": "How many, 1 to 100; 20 by default.",
            "order": "`asc` or `desc`, the default: the newest first.",
            "after": "The id of the item that the page begins after.",
            "before": "The id of the item that the page ends before.",
        },
        errors=_ERRORS,
    ),
)
