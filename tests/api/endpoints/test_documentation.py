"""`/openapi.json` follows the configured keys, and `/docs` lists what it describes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sanic import HTTPResponse, Request

from app.api.endpoints.documentation import routes
from app.api.route import Route
from app.api.routes import DIALECTS, RouteTable
from app.web.access_control import AccessPolicy
from app.web.api_keys import ApiKeys
from tests.api.endpoints.handler_requests import request_to


class PlayRequest(BaseModel):
    """Body of the documented route."""

    song: str
    volume: int = 1


async def play(_request: Request) -> HTTPResponse:
    return HTTPResponse()


DESCRIBED = Route(
    method="post",
    path="/play/{room}",
    aliases=("/v1/play/{room}",),
    handler=play,
    summary="Play <music>",
    request=PlayRequest,
)
UPLOAD = Route(
    method="post", path="/records", handler=play, summary="Keep a record", reads_body=True
)
OPENAPI, DOCS = routes([DESCRIBED])


def request(*, has_keys: bool = False, host: str = "box.lan:8000") -> Request:
    keys = ApiKeys((("laptop", b"digest"),)) if has_keys else ApiKeys()
    service = SimpleNamespace(version="1.2<3>", access_policy=AccessPolicy(keys=keys))
    return request_to(service, scheme="http", host=host)


async def text_of(route: Route, asked: Request) -> str:
    response = await route.handler(asked)
    assert response is not None
    assert response.body is not None
    return response.body.decode()


async def openapi(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await text_of(OPENAPI, request(**given)))
    return found


async def test_the_document_describes_the_given_routes_and_no_others() -> None:
    found = await openapi()
    assert found["info"]["version"] == "1.2<3>"
    assert set(found["paths"]) == {"/play/{room}", "/v1/play/{room}"}
    assert found["paths"]["/play/{room}"]["post"]["summary"] == "Play <music>"


async def test_a_key_is_required_only_where_keys_are_configured() -> None:
    assert {} in (await openapi())["security"]
    assert {} not in (await openapi(has_keys=True))["security"]


@pytest.mark.parametrize("path", ["/play/{room}", "/v1/play/{room}"])
async def test_the_page_has_a_row_for_each_path_with_its_fields(path: str) -> None:
    page = await text_of(DOCS, request())
    row = next(line for line in page.splitlines() if f"<code>POST {path}</code>" in line)
    assert "<code>song</code> <code>volume</code>" in row


async def test_a_route_that_takes_a_file_has_a_row_without_fields() -> None:
    _, docs = routes([DESCRIBED, UPLOAD])
    page = await text_of(docs, request())
    row = next(line for line in page.splitlines() if "<code>POST /records</code>" in line)
    assert row.endswith("<td></td></tr>")


async def test_the_page_of_every_route_of_the_service_can_be_made() -> None:
    page = await text_of(routes(RouteTable(DIALECTS).documented)[1], request())
    assert "POST /api/blobs/" in page


async def test_the_page_shows_a_request_to_the_host_that_was_asked() -> None:
    page = await text_of(DOCS, request(host="box.lan:8000"))
    assert "curl http://box.lan:8000/v1/chat/completions" in page


async def test_the_page_escapes_what_it_is_made_from() -> None:
    page = await text_of(DOCS, request(host='"><script>'))
    assert "<script>" not in page
    assert "1.2&lt;3&gt;" in page
    assert "Play &lt;music&gt;" in page
