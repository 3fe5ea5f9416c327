"""Owns `/openapi.json` and the page for people that is made from it."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import html

from app.api.openapi import document
from app.api.service import service_of
from app.web.json_body import json_response

blueprint = Blueprint("documentation")

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


@blueprint.get("/openapi.json", name="openapi")
async def openapi(request: Request) -> HTTPResponse:
    """Return the OpenAPI document."""
    return json_response(_described(request))


@blueprint.get("/docs", name="docs")
async def docs(request: Request) -> HTTPResponse:
    """Return the page for people."""
    version = service_of(request).version
    described = _described(request)
    rows = "".join(
        _row(described, path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    base = escape(f"{request.scheme}://{request.host}")
    return html(_PAGE.format(version=escape(version), base=base, rows=rows))


def _described(request: Request) -> dict[str, Any]:
    service = service_of(request)
    return _document(service.version, needs_key=bool(service.access_policy.keys))


@cache
def _document(version: str, *, needs_key: bool) -> dict[str, Any]:
    return document(version, needs_key=needs_key)


def _row(described: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    fields = ""
    if "requestBody" in operation:
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = described["components"]["schemas"][reference.rsplit("/", 1)[1]]
        fields = " ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
    request = f"<code>{method.upper()} {escape(path)}</code>"
    return f"<tr><td>{request}</td><td>{escape(operation['summary'])}</td><td>{fields}</td></tr>\n"
