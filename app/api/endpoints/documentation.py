"""Owns `/openapi.json` and `/docs`, the page generated from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from sanic import HTTPResponse, Request
from sanic.response import html

from app.api.openapi import document
from app.api.route import Route
from app.api.service import service_of
from app.web.json_body import json_response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Distiller LLM {version}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
code, pre {{ background: #f3f3f0; border-radius: 4px; padding: .1rem .3rem }}
pre {{ padding: .8rem; overflow-x: auto }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; vertical-align: top }}
td, th {{ padding: .3rem .6rem; border-bottom: 1px solid #ddd }}
</style></head><body>
<h1>Distiller LLM {version}</h1>
<p>An OpenAI-compatible language-model server. The machine-readable description is
<a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl {base}/v1/chat/completions \\
  -H 'Content-Type: application/json' \\
  -d '{{"messages":[{{"role":"user","content":"What is the capital of France?"}}]}}'</pre>
<h2>Endpoints</h2><table><tr><th>Request</th><th>What it does</th><th>Fields</th></tr>
{rows}</table></body></html>
"""


def routes(described: Sequence[Route]) -> tuple[Route, ...]:
    """Return the routes of the documentation.

    Args:
        described: the documented routes.
    """

    @cache
    def build(version: str, *, needs_key: bool) -> dict[str, Any]:
        return document(described, version, needs_key=needs_key)

    def document_for(request: Request) -> dict[str, Any]:
        service = service_of(request)
        return build(service.version, needs_key=bool(service.access_policy.keys))

    async def openapi(request: Request) -> HTTPResponse:
        return json_response(document_for(request))

    async def docs(request: Request) -> HTTPResponse:
        return html(_page(document_for(request), f"{request.scheme}://{request.host}"))

    return (
        Route(
            method="get",
            path="/openapi.json",
            handler=openapi,
            summary="Return the OpenAPI document",
        ),
        Route(method="get", path="/docs", handler=docs, summary="Return the documentation page"),
    )


def _page(described: dict[str, Any], base: str) -> str:
    rows = "".join(
        _row(described, path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    version = escape(described["info"]["version"])
    return _PAGE.format(version=version, base=escape(base), rows=rows)


def _row(described: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    fields = ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:  # a body of another type is a file and has no fields
        schema = described["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]
        fields = " ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
    request = f"<code>{method.upper()} {escape(path)}</code>"
    return f"<tr><td>{request}</td><td>{escape(operation['summary'])}</td><td>{fields}</td></tr>\n"
