"""Owns JSON bodies: parsing and validating requests, encoding responses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from sanic import HTTPResponse

from app.base.json_types import without_lone_escapes
from app.errors import InvalidRequest
from app.web.validation import explain

SchemaT = TypeVar("SchemaT", bound=BaseModel)


def parse(body: bytes, schema: type[SchemaT]) -> SchemaT:
    """Return the validated body of a request; half a surrogate pair is read as U+FFFD.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    if not body:
        raise InvalidRequest("The request has no body; a JSON object is expected", param="body")
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        readable = without_lone_escapes(body)
        if readable == body:
            raise explain(error, schema) from None
    return parse(readable, schema)


def raw_fields(body: bytes, names: Sequence[str]) -> dict[str, msgspec.Raw]:
    """Return the JSON text of some fields of an object, as the client sent it.

    Fields that the object lacks are left out. Nothing is decoded and nothing is copied: the text
    is a part of `body`.

    Raises:
        InvalidRequest: `body` is not a JSON object.
    """
    try:
        found = _raw_decoder(tuple(names)).decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The request body is not valid JSON: {error}", param="body", code="invalid_json"
        ) from None
    given = ((name, getattr(found, name)) for name in names)
    return {name: text for name, text in given if text is not msgspec.UNSET}


@cache
def _raw_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    fields = [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("RawFields", fields))


def json_response(body: Any, status: int = 200) -> HTTPResponse:
    """Return a JSON response."""
    return HTTPResponse(msgspec.json.encode(body), status=status, content_type="application/json")
