"""The OpenAPI document describes the routes that exist, and only with shapes that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sanic import Sanic

from app.api.openapi import document
from app.api.routes import DIALECTS, RouteTable

UNDOCUMENTED = {("get", "/openapi.json"), ("get", "/docs")}
QUEUED = ("/chat/completions", "/v1/completions", "/completion", "/restore_cache")
OF_LLAMA_SERVER = {"/completion", "/completions", "/infill"}
VIEWS = {"/props", "/slots"}  # llama-server's
CHANGES_MODELS = {"/api/copy", "/api/delete", "/api/create", "/api/blobs/{digest}"}
OF_ANTHROPIC = {"/messages", "/messages/count_tokens"}  # with /v1 only
OF_OLLAMA = {"/api/chat", "/api/generate"}
RESUMED = {"/v1/stream", "/v1/streams/lookup"}  # llama-server's, which has them with /v1 only
TABLE = RouteTable(DIALECTS)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(TABLE.documented, "1.2.3", needs_key=True)


@pytest.fixture(scope="module")
def served() -> Iterator[set[tuple[str, str]]]:
    """Method and path of every route, path parameters written as OpenAPI does.

    HEAD is left out: it is GET without the body.
    """
    app: Sanic[Any, Any] = Sanic("openapi-test", configure_logging=False)
    for blueprint in TABLE.blueprints():
        app.blueprint(blueprint)
    yield {
        (method.lower(), re.sub(r"<(\w+)(:\w+)?>", r"{\1}", f"/{route.path}"))
        for route in app.router.routes
        for method in route.methods
        if method != "HEAD"
    }
    Sanic.unregister_app(app)


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def below_v1(paths: set[str]) -> set[str]:
    return {f"/v1{path}" for path in paths}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_route_is_described_and_every_description_has_a_route(
    described: dict[str, Any], served: set[tuple[str, str]]
) -> None:
    assert served >= UNDOCUMENTED
    assert set(operations(described)) == served - UNDOCUMENTED


def test_the_openai_paths_exist_with_and_without_v1(described: dict[str, Any]) -> None:
    paths = described["paths"]
    prefixed = [path for path in paths if path.startswith("/v1/")]
    assert "/v1/chat/completions" in prefixed
    prefixed.remove("/v1/completions")  # without /v1 it is llama-server's
    prefixed = [path for path in prefixed if path not in RESUMED | below_v1(OF_ANTHROPIC)]
    assert all(paths[path] == paths[path.removeprefix("/v1")] for path in prefixed)


def test_every_reference_leads_to_a_schema(described: dict[str, Any]) -> None:
    found = set(references(described))
    schemas = described["components"]["schemas"]
    assert found == {f"#/components/schemas/{name}" for name in schemas}


def test_every_schema_is_one(described: dict[str, Any]) -> None:
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_error_is_described_with_the_error_body_of_its_dialect(
    described: dict[str, Any],
) -> None:
    for (_, path), operation in operations(described).items():
        name = "NativeErrorBody" if path in OF_LLAMA_SERVER | VIEWS else "ErrorBody"
        name = "OllamaError" if path.startswith("/api/") else name
        name = "MessageErrorBody" if path in below_v1(OF_ANTHROPIC) else name
        error = {"$ref": f"#/components/schemas/{name}"}
        for status, response in operation["responses"].items():
            if status == "204":
                continue
            schema = response["content"].get("application/json", {}).get("schema")
            is_error = status not in ("200", "201") and (path.removeprefix("/v1"), status) != (
                "/health",
                "503",
            )
            assert (schema == error) == is_error


def test_metrics_are_plain_text(described: dict[str, Any]) -> None:
    answer = described["paths"]["/metrics"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"text/plain"}


def test_every_post_describes_its_body_and_how_a_wrong_one_is_refused(
    described: dict[str, Any],
) -> None:
    for (method, path), operation in operations(described).items():
        takes_body = method == "post" and not path.endswith("/cancel")
        assert ("requestBody" in operation) == (takes_body or path == "/api/delete")
        assert "400" in operation["responses"]


@pytest.mark.parametrize("path", QUEUED)
@pytest.mark.parametrize("status", ["429", "504"])
def test_what_waits_for_the_engine_may_find_the_queue_full_or_take_too_long(
    described: dict[str, Any], path: str, status: str
) -> None:
    assert status in described["paths"][path]["post"]["responses"]


def test_whatever_loads_a_model_may_find_it_too_large(described: dict[str, Any]) -> None:
    loading = {
        path
        for (_, path), operation in operations(described).items()
        if "507" in operation["responses"]
    }
    loads = {"/setModel", "/restore_cache", "/chat/completions", "/apply-template"}
    loads |= {"/chat/completions/input_tokens"}
    loads |= OF_LLAMA_SERVER | OF_OLLAMA | {"/api/tokenize", "/api/detokenize"} | CHANGES_MODELS
    loads |= {"/responses", "/responses/input_tokens"} | OF_ANTHROPIC
    assert {path.removeprefix("/v1") for path in loading} == loads


def test_every_path_parameter_is_described(described: dict[str, Any]) -> None:
    for (_, path), operation in operations(described).items():
        parameters = [
            item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"
        ]
        assert parameters == re.findall(r"{(\w+)}", path)


def test_the_model_whose_cache_is_cleared_may_be_left_out(described: dict[str, Any]) -> None:
    (model,) = described["paths"]["/cache"]["delete"]["parameters"]
    assert (model["name"], model["in"]) == ("model", "query")
    assert not model.get("required")


def test_only_answers_stream(described: dict[str, Any]) -> None:
    streaming = {
        path
        for (_, path), operation in operations(described).items()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", ())
    }
    openai = {"/chat/completions", "/v1/chat/completions", "/v1/completions"}
    responses = {"/responses", "/responses/{response_id}"}
    openai |= responses | below_v1(responses)
    assert streaming == openai | OF_LLAMA_SERVER | {"/v1/messages", "/v1/stream"}


def test_ollamas_streams_are_lines_of_json(described: dict[str, Any]) -> None:
    for path in OF_OLLAMA:
        content = described["paths"][path]["post"]["responses"]["200"]["content"]
        assert set(content) == {"application/json", "application/x-ndjson"}


def test_the_document_names_its_version(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    assert described["info"]["version"] == "1.2.3"


def test_all_but_health_needs_a_key_where_there_are_keys(described: dict[str, Any]) -> None:
    assert described["security"] == [{"bearerAuth": []}, {"apiKeyAuth": []}]
    schemes = described["components"]["securitySchemes"]
    assert schemes["bearerAuth"]["scheme"] == "bearer"
    assert (schemes["apiKeyAuth"]["in"], schemes["apiKeyAuth"]["name"]) == ("header", "x-api-key")
    open_paths = {path for (_, path), found in operations(described).items() if "security" in found}
    assert open_paths == {"/health", "/v1/health", "/health/live"}
    for (_, path), operation in operations(described).items():
        assert ("401" in operation["responses"]) == (path not in open_paths)


def test_without_keys_none_is_needed() -> None:
    assert {} in document(TABLE.documented, "1.2.3", needs_key=False)["security"]


def test_health_is_described_with_and_without_details(described: dict[str, Any]) -> None:
    responses = described["paths"]["/health"]["get"]["responses"]
    for status in ("200", "503"):
        (details, brief) = responses[status]["content"]["application/json"]["schema"]["anyOf"]
        assert details["$ref"].endswith("/HealthResponse")
        assert brief["$ref"].endswith("/HealthState")
