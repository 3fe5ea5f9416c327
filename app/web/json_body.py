"""Owns the way between HTTP bodies and schemas: parse, validate, answer."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from sanic import HTTPResponse, Request

from app.errors import InvalidRequest
from app.web.validation import explain

Schema = TypeVar("Schema", bound=BaseModel)


def parse(request: Request, schema: type[Schema]) -> Schema:
    """Return the validated body of a request.

    Raises:
        InvalidRequest: no JSON, or a field is wrong; `param` names the field.
    """
    if not request.body:
        raise InvalidRequest("The request has no body; a JSON object is expected", param="body")
    try:
        return schema.model_validate_json(request.body)
    except ValidationError as error:
        raise explain(error, schema) from None


def json_response(body: Any, status: int = 200) -> HTTPResponse:
    """Return a JSON response."""
    return HTTPResponse(msgspec.json.encode(body), status=status, content_type="application/json")
