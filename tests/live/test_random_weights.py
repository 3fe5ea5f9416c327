"""Answers of a model that knows nothing fit their schemas all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.benchmark.random_model import ensure_model
from tests.live.server import LiveServer

# Texts in them are bounded: a model that knows nothing would write on to the end of the context.
SCHEMAS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "data" / "schemas.json").read_text()
)
N_EACH = 40


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder: Path = tmp_path_factory.mktemp("models")
    ensure_model("tiny", "q8_0", folder)
    with LiveServer("--models-dir", str(folder), "--n-ctx", "4096") as server:
        yield server.wait_healthy()


def ask(server: LiveServer, seed: int, **body: Any) -> dict[str, Any]:
    sampling = {"temperature": 1.5, "top_k": 0, "top_p": 1, "min_p": 0, "seed": seed}
    messages = [{"role": "user", "content": f"Question {seed}"}]
    answer = server.http.post(
        "/v1/chat/completions", json={"messages": messages, **sampling, **body}
    )
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


def tool(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema, "strict": True}}


TOOLS = [tool(f"use_{name}", schema) for name, schema in SCHEMAS.items()]


def check(value: Any, schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(value)


def schema_of(call: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[call["function"]["name"].removeprefix("use_")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_fits_its_schema(wild: LiveServer, name: str) -> None:
    form = {"name": name, "schema": SCHEMAS[name], "strict": True}
    for seed in range(N_EACH // 2):
        choice = ask(wild, seed, response_format={"type": "json_schema", "json_schema": form})
        assert choice["finish_reason"] == "stop"
        check(json.loads(choice["message"]["content"]), SCHEMAS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_call_of_a_named_tool_fits_its_schema(wild: LiveServer, name: str) -> None:
    wanted = {"type": "function", "function": {"name": f"use_{name}"}}
    for seed in range(N_EACH // 4):
        choice = ask(wild, seed, tools=TOOLS, tool_choice=wanted, parallel_tool_calls=False)
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == f"use_{name}"
        assert not choice["message"]["content"]
        check(json.loads(call["function"]["arguments"]), SCHEMAS[name])


@pytest.mark.slow
def test_every_required_call_is_one_of_the_offered_tools_and_fits_its_schema(
    wild: LiveServer,
) -> None:
    for seed in range(len(SCHEMAS) * N_EACH // 4):
        choice = ask(wild, seed, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        check(json.loads(call["function"]["arguments"]), schema_of(call))
