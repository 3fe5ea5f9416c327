"""Answers are what a schema, a grammar, a pattern or a list says, whatever the model prefers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from tests.live.server import NANO, LiveServer, text_of, user

QUESTION = "What is the capital of France?"
MESSAGES: Any = [user(QUESTION)]
CHAT = "/v1/chat/completions"


class Weather(BaseModel):
    """What a client wants to know; every field is of bounded length, so that answers end."""

    city: Literal["Paris", "Rome", "Berlin"]
    degrees: int = Field(ge=-50, le=50)
    is_sunny: bool
    signs: list[Literal["wind", "rain"]] = Field(max_length=2)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "zebra": {"type": "string", "enum": ["black", "white"]},
        "ant": {"type": "integer", "minimum": 0, "maximum": 99},
        "mole": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    },
    "required": ["zebra", "ant", "mole"],
    "additionalProperties": False,
}
PATTERN = r"[A-Z][a-z]{2,8}, [0-9]{3}\."
CITIES = ["Paris", "Rome", "New York / USA", "Zürich"]
LARK = """
start: greeting " " NAME "!"
greeting: "Good day" | "Farewell"
NAME: /[A-Z][a-z]{1,5}/
"""
LARK_ANSWER = r"(Good day|Farewell) [A-Z][a-z]{1,5}!"
GBNF = r"""
root   ::= item ("," item)? "."
item   ::= colour " " number
colour ::= "red" | "blue"
number ::= [0-9] [0-9]
"""
GBNF_ANSWER = r"(red|blue) [0-9]{2}(,(red|blue) [0-9]{2})?\."


def json_schema(schema: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **rest}}


def fits_schema(text: str) -> bool:
    value = json.loads(text)
    return Draft202012Validator(SCHEMA).is_valid(value) and list(value) == ["zebra", "ant", "mole"]


def matches(pattern: str) -> Any:
    return lambda text: re.fullmatch(pattern, text) is not None


CONSTRAINTS: dict[str, tuple[dict[str, Any], Any]] = {
    "json_schema": ({"response_format": json_schema(SCHEMA, strict=True)}, fits_schema),
    "llama-server's json_schema": ({"json_schema": SCHEMA}, fits_schema),
    "json_object with a schema": (
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
        fits_schema,
    ),
    "regex": ({"regex": PATTERN}, matches(PATTERN)),
    "choice": ({"choice": CITIES}, CITIES.__contains__),
    "lark": ({"grammar": LARK}, matches(LARK_ANSWER)),
    "gbnf": ({"grammar": GBNF}, matches(GBNF_ANSWER)),
    "vLLM's guided_json": ({"guided_json": SCHEMA}, fits_schema),
    "vLLM's structured_outputs": ({"structured_outputs": {"choice": CITIES}}, CITIES.__contains__),
}
each_constraint = pytest.mark.parametrize(("fields", "fits"), CONSTRAINTS.values(), ids=CONSTRAINTS)


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


def post(server: LiveServer, **fields: Any) -> httpx.Response:
    return server.http.post(CHAT, json={"messages": MESSAGES, **fields})


# ---------------------------------------------------------------- whatever the model would write


@each_constraint
def test_an_answer_is_what_it_has_to_be(
    server: LiveServer, fields: dict[str, Any], fits: Any
) -> None:
    (choice,) = server.chat(QUESTION, max_tokens=200, **fields)["choices"]
    assert fits(choice["message"]["content"]), choice
    assert choice["finish_reason"] == "stop"


@each_constraint
def test_an_answer_in_pieces_is_the_whole_one(
    server: LiveServer, fields: dict[str, Any], fits: Any
) -> None:
    (whole,) = server.chat(QUESTION, max_tokens=200, **fields)["choices"]
    pieces = list(server.stream(QUESTION, max_tokens=200, **fields))
    assert text_of(iter(pieces)) == whole["message"]["content"]
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


@each_constraint
def test_no_dice_lead_out_of_it(server: LiveServer, fields: dict[str, Any], fits: Any) -> None:
    answer = server.chat(QUESTION, temperature=1.8, seed=7, n=3, max_tokens=300, **fields)
    choices = answer["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["stop"] * 3
    assert all(fits(choice["message"]["content"]) for choice in choices), choices


@each_constraint
def test_a_limit_cuts_it_and_says_so(server: LiveServer, fields: dict[str, Any], fits: Any) -> None:
    (whole,) = server.chat(QUESTION, max_tokens=200, **fields)["choices"]
    answer = server.chat(QUESTION, max_tokens=1, **fields)
    (cut,) = answer["choices"]
    assert cut["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 1
    assert whole["message"]["content"].startswith(cut["message"]["content"])


@each_constraint
def test_guessing_ahead_changes_nothing(
    server: LiveServer, fields: dict[str, Any], fits: Any
) -> None:
    answers = [
        server.chat(QUESTION, max_tokens=200, speculate=speculate, **fields)["choices"]
        for speculate in (False, True)
    ]
    assert answers[0] == answers[1]


def test_text_stays_free_beside_others_that_are_not(server: LiveServer) -> None:
    free = server.chat(QUESTION, max_tokens=20)["choices"][0]["message"]["content"]
    assert "Paris" in free
    assert server.chat(QUESTION, max_tokens=20, response_format={"type": "text"})["choices"][0][
        "message"
    ] == {"role": "assistant", "content": free}


def test_any_json_object_begins_as_one(server: LiveServer) -> None:
    (choice,) = server.chat(QUESTION, max_tokens=60, response_format={"type": "json_object"})[
        "choices"
    ]
    content = choice["message"]["content"]
    assert content.startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(content), dict)
    else:
        assert choice["finish_reason"] == "length"


def test_a_stop_string_ends_it_early(server: LiveServer) -> None:
    (choice,) = server.chat(QUESTION, response_format=json_schema(SCHEMA), stop='"ant"')["choices"]
    assert choice["finish_reason"] == "stop"
    assert '"zebra"' in choice["message"]["content"]
    assert '"ant"' not in choice["message"]["content"]


def test_logprobs_tell_the_tokens_of_it(server: LiveServer) -> None:
    (choice,) = server.chat(QUESTION, logprobs=True, choice=CITIES)["choices"]
    tokens = choice["logprobs"]["content"]
    shown = b"".join(bytes(token["bytes"]) for token in tokens)
    assert shown.decode() == choice["message"]["content"]


def test_schemas_refer_to_their_own_parts(server: LiveServer) -> None:
    schema = {
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/side"}, "then": {"$ref": "#/$defs/side"}},
        "required": ["first", "then"],
        "additionalProperties": False,
        "$defs": {"side": {"enum": ["left", "right"]}},
    }
    answer = server.chat(QUESTION, max_tokens=100, response_format=json_schema(schema))
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert set(value.values()) <= {"left", "right"}
    assert list(value) == ["first", "then"]


# ---------------------------------------------------------------- the official client


def test_the_client_parses_an_answer_into_its_own_type(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=NANO, messages=MESSAGES, response_format=Weather, temperature=0
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Weather)
    assert Weather.model_validate_json(choice.message.content or "") == choice.message.parsed


def test_the_client_parses_a_streamed_answer_as_it_comes(client: openai.OpenAI) -> None:
    whole = client.chat.completions.parse(
        model=NANO, messages=MESSAGES, response_format=Weather, temperature=0
    )
    with client.chat.completions.stream(
        model=NANO, messages=MESSAGES, response_format=Weather, temperature=0
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event for event in events if event.type == "content.delta"]
    (done,) = [event for event in events if event.type == "content.done"]
    assert "".join(event.delta for event in deltas) == done.content
    assert isinstance(done.parsed, Weather)
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed == done.parsed
    assert final.choices[0].finish_reason == "stop"


def test_the_client_tells_a_parsed_answer_that_was_cut(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=NANO, messages=MESSAGES, response_format=Weather, temperature=0, max_tokens=3
        )


# ---------------------------------------------------------------- what cannot be met


UNENFORCED = {
    "type": "array",
    "items": {"enum": ["a", "b"]},
    "minItems": 1,
    "maxItems": 3,
    "uniqueItems": True,
}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {"response_format": json_schema(UNENFORCED, strict=True)},
            "response_format.json_schema.schema",
        ),
        ({"response_format": json_schema(UNENFORCED)}, "response_format.json_schema.schema"),
        ({"json_schema": UNENFORCED}, "json_schema"),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named(
    server: LiveServer, fields: dict[str, Any], param: str
) -> None:
    response = post(server, **fields)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert "uniqueItems" in error["message"]


@pytest.mark.parametrize("path", [CHAT, "/completion"])
def test_a_size_that_repeated_keys_would_pass_is_named_with_its_place(
    server: LiveServer, path: str
) -> None:
    flags = {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 2}
    asked = {"messages": MESSAGES} if path == CHAT else {"prompt": QUESTION}
    wanted = {"type": "object", "properties": {"flags": flags}}
    response = httpx.post(f"{server.url}{path}", json={**asked, "json_schema": wanted})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "json_schema"
    assert "minProperties at #/properties/flags/minProperties" in error["message"]


def test_a_schema_that_is_not_strict_is_met_as_far_as_can_be(server: LiveServer) -> None:
    answer = server.chat(
        QUESTION, max_tokens=100, response_format=json_schema(UNENFORCED, strict=False)
    )
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert 1 <= len(value) <= 3
    assert set(value) <= {"a", "b"}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "schema": (
        {"response_format": json_schema({"type": 5})},
        "response_format.json_schema.schema",
    ),
    "unknown reference": ({"json_schema": {"$ref": "#/$defs/nothing"}}, "json_schema"),
    "remote reference": ({"json_schema": {"$ref": "http://example.org/x"}}, "json_schema"),
    "schema no value fits": (
        {"json_schema": {"type": "integer", "minimum": 2, "maximum": 1}},
        "json_schema",
    ),
    "regex": ({"regex": "(unclosed"}, "regex"),
    "look-around": ({"regex": "a(?=b)"}, "regex"),
    "lark": ({"grammar": "start: missing"}, "grammar"),
    "gbnf": ({"grammar": 'root ::= "unclosed'}, "grammar"),
    "no grammar at all": ({"grammar": "hello"}, "grammar"),
}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(("fields", "param"), BROKEN.values(), ids=BROKEN)
def test_a_constraint_that_means_nothing_is_refused_before_anything_is_queued(
    server: LiveServer, fields: dict[str, Any], param: str, is_streamed: bool
) -> None:
    response = post(server, stream=is_streamed, **fields)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    gauges = server.http.get("/metrics").text
    assert re.search(r"^distiller_llm_queue_depth 0", gauges, re.MULTILINE)
    assert re.search(r"^distiller_llm_active_sequences 0", gauges, re.MULTILINE)


def test_the_client_raises_its_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=NANO, messages=MESSAGES, extra_body={"regex": "(unclosed"}
        )
    assert refused.value.param == "regex"
