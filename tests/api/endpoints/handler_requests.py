"""Owns requests for handlers that are called directly, with the parts of a service they use."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from sanic import Request
from sanic.compat import Header


def request_to(service: Any, body: Any = None, **fields: Any) -> Request:
    """Return a request to a service, with a JSON body; `fields` are further attributes."""
    made = SimpleNamespace(
        app=SimpleNamespace(ctx=SimpleNamespace(service=service)),
        ctx=SimpleNamespace(facts={}),
        headers=Header(),
        body=json.dumps(body).encode(),
    )
    vars(made).update(fields)
    return cast(Request, made)
