"""Loads are answered without the engine; unknown options are logged by name; times are noted.

Also covers `app.api.dialects.ollama.tokens` and `app.api.dialects.ollama.embeddings`.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from app.api.dialects.ollama.embeddings import embed
from app.api.dialects.ollama.handlers import chat, generate
from app.api.dialects.ollama.tokens import detokenize, tokenize
from app.api.keep_alive import KeepAlive
from app.errors import InvalidRequest, ModelNotFound, NotSupported
from app.protocol import Detokenize, Failed, RequestEvent, Text, TokenIds, Tokenize
from tests.api.endpoints.handler_requests import request_to

NOW_S = 1000.0


class Host:
    """A service with one model, `m.gguf`, whose engine answers each command with `reply`."""

    def __init__(self, reply: RequestEvent | None = None) -> None:
        self.reply = reply
        self.commands: list[Any] = []
        self.uses: list[tuple[str | None, dict[str, Any]]] = []
        self.service = SimpleNamespace(
            keep_alive=KeepAlive(lambda: NOW_S),
            supervisor=SimpleNamespace(use=self.use, serving=SimpleNamespace(name="m.gguf")),
            catalog=SimpleNamespace(asked=self.asked, find=self.find),
        )

    def find(self, name: str) -> Any:
        if name not in ("m", "m.gguf"):
            raise ModelNotFound(f"Model '{name}' not found; there is: m.gguf", param="model")
        return SimpleNamespace(name="m.gguf", path=Path("m.gguf"))

    def asked(self, name: str) -> Any:
        return None if name == "foreign" else self.find(name)

    async def use(self, name: str | None, overrides: dict[str, Any]) -> Any:
        self.uses.append((name, overrides))
        return SimpleNamespace(name=self.find(name or "").name, engine=self)

    async def ask(self, command: Any, request_id: str) -> RequestEvent:
        assert command.request_id == request_id
        self.commands.append(command)
        assert self.reply is not None
        return self.reply

    async def answer(self, handler: Any, **body: Any) -> Any:
        response = await handler(request_to(self.service, body))
        assert response.content_type == "application/json"
        return json.loads(response.body)

    @property
    def expires_in_s(self) -> float:
        return float(self.service.keep_alive.expires_s("m.gguf") - NOW_S)


@pytest.mark.parametrize("messages", [None, []])
async def test_no_messages_load_the_model(messages: Any) -> None:
    host = Host()
    body = await host.answer(chat, model="m", messages=messages, keep_alive="1h")
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "model": "m",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "load",
    }
    assert host.uses == [("m", {})]
    assert host.expires_in_s == 3600


@pytest.mark.parametrize("prompt", [None, ""])
async def test_no_prompt_loads_the_model(prompt: Any) -> None:
    host = Host()
    body = await host.answer(generate, model="m", prompt=prompt, keep_alive=-1.0)
    assert (body["response"], body["done"], body["done_reason"]) == ("", True, "load")
    assert host.expires_in_s == float("inf")


@pytest.mark.parametrize("handler", [chat, generate])
async def test_no_time_to_live_is_an_unload_that_keeps_what_is_loaded(handler: Any) -> None:
    host = Host()
    body = await host.answer(handler, model="m", keep_alive=0.0)
    assert body["done_reason"] == "unload"
    assert host.uses == []
    assert host.expires_in_s == 0


@pytest.mark.parametrize("name", ["models.example/library/m", "library/m", "hf.co/a/m.gguf"])
async def test_host_and_namespace_of_a_name_do_not_matter(name: str) -> None:
    host = Host(Text(request_id="r", text="Hi"))
    body = await host.answer(chat, model=name)
    assert (body["model"], body["done_reason"]) == (name, "load")
    assert (await host.answer(generate, model=name, keep_alive=0))["done_reason"] == "unload"
    assert (await host.answer(detokenize, model=name, tokens=[1]))["model"] == name
    assert {used for used, _ in host.uses} == {name.rpartition("/")[2]}


@pytest.mark.parametrize("name", ["library/x", "m/", "a/b/c"])
async def test_a_name_that_is_unknown_without_its_host_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound, match=rf"^model '{name}' not found$"):
        await Host().answer(chat, model=name)


async def test_a_foreign_name_may_mean_the_model_that_serves() -> None:
    host = Host()
    body = await host.answer(generate, model="foreign", keep_alive=0)
    assert (body["model"], body["done_reason"]) == ("foreign", "unload")
    assert host.expires_in_s == 0


@pytest.mark.parametrize("keep_alive", [0, None])
@pytest.mark.parametrize("handler", [chat, generate])
async def test_an_unknown_model_is_not_found(handler: Any, keep_alive: Any) -> None:
    with pytest.raises(ModelNotFound, match=r"^model 'x' not found$"):
        await Host().answer(handler, model="x", keep_alive=keep_alive)


@pytest.mark.parametrize("handler", [chat, generate, embed, tokenize, detokenize])
async def test_a_model_is_required(handler: Any) -> None:
    with pytest.raises(InvalidRequest, match="model is required"):
        await Host().answer(handler, content="Hi", tokens=[1])


async def test_a_load_with_invalid_fields_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        await Host().answer(generate, model="m", options={"top_k": "many"})
    assert refused.value.param == "options.top_k"


async def test_unknown_options_are_logged_once_and_without_their_values() -> None:
    host = Host()
    asked: dict[str, Any] = {"foo": "secret", "bar": 1, "top_k": 3, "seed": None}
    with structlog.testing.capture_logs() as lines:
        await host.answer(chat, model="m", options=asked)
        await host.answer(generate, model="m", options={"top_k": 3})
    assert [(line["event"], line["options"]) for line in lines] == [
        ("options_ignored", ["bar", "foo"])
    ]
    assert "secret" not in str(lines)


# ---------------------------------------------------------------- tokens


async def test_text_becomes_token_ids_and_back() -> None:
    host = Host(TokenIds(request_id="r", tokens=[5, 6]))
    assert await host.answer(tokenize, model="m", content="Hi") == {"model": "m", "tokens": [5, 6]}
    (command,) = host.commands
    assert isinstance(command, Tokenize)
    assert command.text == "Hi"
    host = Host(Text(request_id="r", text="Hi"))
    body = await host.answer(detokenize, model="m", tokens=[5, 6], keep_alive=60)
    assert body == {"model": "m", "content": "Hi"}
    (command,) = host.commands
    assert isinstance(command, Detokenize)
    assert command.tokens == [5, 6]
    assert host.expires_in_s == 60


@pytest.mark.parametrize(
    ("handler", "body", "param"),
    [
        (tokenize, {}, "content"),
        (tokenize, {"content": 5}, "content"),
        (detokenize, {}, "tokens"),
        (detokenize, {"tokens": [-1]}, "tokens[0]"),
    ],
)
async def test_a_wrong_body_is_refused(handler: Any, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await Host().answer(handler, model="m", **body)
    assert refused.value.param == param


async def test_an_error_of_the_engine_is_raised() -> None:
    failed = Failed(request_id="r", kind=InvalidRequest.__name__, message="no id", param="tokens")
    with pytest.raises(InvalidRequest, match="no id"):
        await Host(failed).answer(detokenize, model="m", tokens=[5])
    with pytest.raises(ModelNotFound, match=r"^model 'x' not found$"):
        await Host(failed).answer(detokenize, model="x", tokens=[5])


# ---------------------------------------------------------------- embeddings


async def test_embeddings_say_what_is_missing() -> None:
    with pytest.raises(NotSupported, match=r'^"m" does not support embedding'):
        await Host().answer(embed, model="m", input=["a"])
