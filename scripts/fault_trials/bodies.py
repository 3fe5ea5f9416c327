"""Owns the trial with JSON bodies that no client would send."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from scripts.fault_trials.json_damage import damaged
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import CHAT, GOOD, HANG_S, Target

DEADLINE_S = 3.0
_CLIENTS = 4
_CHECK_EVERY = 500
_ALLOWED = {200, 400, 404, 405, 408, 413, 429, 504, 507}
_LOAD_ALLOWED = _ALLOWED | {500}
_LOAD_S = 60.0

_HELLO = [{"role": "user", "content": "Hello!"}]
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Say how the weather is.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
_OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
_CHATS: tuple[dict[str, Any], ...] = (
    {"messages": _HELLO, "max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "seed": 1},
    {
        "messages": _HELLO,
        "max_tokens": 4,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    {"messages": _HELLO, "max_tokens": 6, "tools": [_TOOL], "tool_choice": "auto"},
    {"messages": _HELLO, "max_tokens": 6, "tools": [_TOOL], "tool_choice": "required"},
    {"messages": _HELLO, "max_tokens": 6, "response_format": {"type": "json_object"}},
    {
        "messages": _HELLO,
        "max_tokens": 6,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _OBJECT}},
    },
    {"messages": _HELLO, "max_tokens": 6, "json_schema": _OBJECT},
    {"messages": _HELLO, "max_tokens": 6, "grammar": 'start: "yes" | "no"'},
    {"messages": _HELLO, "max_tokens": 6, "regex": "[a-z]+"},
    {"messages": _HELLO, "max_tokens": 6, "choice": ["yes", "no"]},
    {
        "messages": _HELLO,
        "max_tokens": 3,
        "logprobs": True,
        "top_logprobs": 3,
        "n": 2,
        "stop": ["x"],
    },
    {"messages": _HELLO, "max_tokens": 3, "logit_bias": {"5": 1.5}, "min_p": 0.1, "top_k": 5},
    {
        "messages": _HELLO,
        "max_tokens": 3,
        "mirostat": 2,
        "xtc_probability": 0.5,
        "dry_multiplier": 1.0,
    },
    {
        "messages": _HELLO,
        "max_tokens": 3,
        "chat_template_kwargs": {"enable_thinking": True, "a": [1]},
    },
    {"messages": _HELLO, "max_tokens": 3, "reasoning_budget": 5, "reasoning_effort": "low"},
    {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hello!"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city": "Bonn"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
        ],
        "tools": [_TOOL],
        "max_tokens": 4,
        "explain_cache": True,
    },
    {
        "messages": _HELLO,
        "inference_configs": {"temperature": 0.1, "max_tokens": 3, "stop": ["user:"], "top_k": 5},
        "load_model_configs": {"n_ctx": 32768},
        "model": GOOD,
    },
)
_ROUTES: dict[str, tuple[dict[str, Any], ...]] = {
    CHAT: _CHATS,
    "/apply-template": _CHATS,
    "/restore_cache": ({"messages": _HELLO}, {"messages": _HELLO, "tools": [_TOOL]}),
    "/tokenize": ({"content": "Hello", "add_special": True, "with_pieces": True},),
    "/detokenize": ({"tokens": [1, 2, 3]},),
    "/setModel": (
        {"model_name": GOOD, "load_model_configs": {"n_ctx": 512}},
        {"model_name": GOOD, "inference_configs": {"n_ctx": 512, "n_batch": 64, "type_k": "q8_0"}},
        {"model_name": GOOD, "load_model_configs": {"chat_template": "{{ messages[0].content }}"}},
    ),
}
_WEIGHTS = {CHAT: 60, "/apply-template": 15, "/restore_cache": 8, "/tokenize": 8, "/detokenize": 8}


def bodies(times: int, seed: int, hang_s: float = HANG_S) -> list[Tally]:
    """Send damaged bodies to every route that takes one; loads are tried a fiftieth as often."""
    settings = {"request_deadline_s": DEADLINE_S}
    with TemporaryDirectory() as folder, Target(Path(folder), settings, hang_s=hang_s) as target:
        requests = Tally("JSON that no client would send")
        for begin in range(0, times, _CHECK_EVERY):
            numbers = range(begin, min(begin + _CHECK_EVERY, times))
            with ThreadPoolExecutor(_CLIENTS) as clients:
                list(clients.map(lambda number: _send(target, requests, seed, number), numbers))
            target.check(requests, f"request {numbers[-1]}")
            if not target.is_alive:
                return [requests]
        if restarts := target.engine["restarts"]:
            requests.lose(f"{restarts} engines ended")
        return [requests, _loads(target, max(1, times // 50), seed)]


def _send(target: Target, tally: Tally, seed: int, number: int) -> None:
    rng = random.Random(f"{seed}/{number}")
    (path,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    data = damaged(rng.choice(_ROUTES[path]), rng)
    try:
        response = target.http.post(path, content=data)
    except httpx.HTTPError as error:
        tally.note("no answer")
        tally.lose(f"request {number} to {path}: {error!r}: {data[:300]!r}")
        return
    tally.note(_outcome(response))
    if response.status_code not in _ALLOWED:
        tally.lose(f"request {number} to {path}: {response.text[:300]}: {data[:300]!r}")


def _loads(target: Target, times: int, seed: int) -> Tally:
    tally = Tally("load parameters that no client would send, `/setModel`")
    for number in range(times):
        rng = random.Random(f"{seed}/load/{number}")
        data = damaged(rng.choice(_ROUTES["/setModel"]), rng)
        try:
            response = target.http.post("/setModel", content=data, timeout=_LOAD_S)
        except httpx.HTTPError as error:
            tally.note("no answer")
            tally.lose(f"load {number}: {error!r}: {data[:300]!r}")
            continue
        tally.note(_outcome(response))
        if response.status_code not in _LOAD_ALLOWED or "internal_error" in response.text:
            tally.lose(f"load {number}: {response.text[:300]}: {data[:300]!r}")
        if response.status_code == 200:
            back = target.load(GOOD, timeout_s=_LOAD_S)
            if back.status_code != 200:
                tally.lose(f"load {number}: the good model did not come back: {back.text}")
        target.check(tally, f"load {number}")
    return tally


def _outcome(response: httpx.Response) -> str:
    if response.status_code < 400:
        return str(response.status_code)
    return f"{response.status_code} {response.json()['error']['code']}"
