"""Drives `litellm` by three of its routes: `openai/`, `anthropic/`, `ollama_chat/`."""

from __future__ import annotations

from functools import partial

import litellm
import steps
from steps import CITY_SCHEMA, KEY, LED_TOOL, MAX_TOKENS, MODEL, ORDER, QUESTION, URL, answer, user

ROUTES = {"openai": f"{URL}/v1", "anthropic": URL, "ollama_chat": URL}
HELD = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA}}


def of_reply(reply):
    (choice,) = reply.choices
    calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
    used = (reply.usage.prompt_tokens, reply.usage.completion_tokens)
    return answer(choice.message.content, calls, end=choice.finish_reason, tokens=used)


def fields_of(route):
    # Anthropic's own sampling settings hold there; the others are asked greedily.
    greedy = {} if route == "anthropic" else {"temperature": 0}
    return {
        "model": f"{route}/{MODEL}",
        "api_base": ROUTES[route],
        "api_key": KEY,
        "max_tokens": MAX_TOKENS,
        "num_retries": 0,
        **greedy,
    }


def whole(route, content, **more):
    return of_reply(litellm.completion(**fields_of(route), messages=[user(content)], **more))


def streamed(route, content, **more):
    messages = [user(content)]
    stream = litellm.completion(**fields_of(route), messages=messages, stream=True, **more)
    return of_reply(litellm.stream_chunk_builder(list(stream), messages=messages))


def name(route, kind):
    def named(function):
        function.__name__ = f"{route}:{kind}"
        return steps.step(function)

    return named


for route in ROUTES:
    forced = {"tools": [LED_TOOL]}
    if route != "ollama_chat":
        forced["tool_choice"] = "required"
    name(route, "chat")(partial(whole, route, QUESTION))
    name(route, "chat_streamed")(partial(streamed, route, QUESTION))
    name(route, "tool")(partial(whole, route, ORDER, **forced))
    name(route, "tool_streamed")(partial(streamed, route, ORDER, **forced))
    name(route, "schema")(partial(whole, route, QUESTION, response_format=HELD))
