"""Drives the `ollama` package: chat, generate, and the views of models."""

from __future__ import annotations

import ollama
from steps import (
    CITY_SCHEMA,
    LED_TOOL,
    MAX_TOKENS,
    MODEL,
    ORDER,
    QUESTION,
    URL,
    answer,
    step,
    user,
)

client = ollama.Client(host=URL)
OPTIONS = {"temperature": 0, "num_predict": MAX_TOKENS}


def of_chat(reply):
    calls = [(c.function.name, dict(c.function.arguments)) for c in reply.message.tool_calls or ()]
    used = (reply.prompt_eval_count, reply.eval_count)
    return answer(reply.message.content, calls, end=reply.done_reason, tokens=used)


def whole(content, **fields):
    return of_chat(client.chat(MODEL, [user(content)], options=OPTIONS, **fields))


def streamed(content, **fields):
    parts = list(client.chat(MODEL, [user(content)], stream=True, options=OPTIONS, **fields))
    calls = [
        (call.function.name, dict(call.function.arguments))
        for part in parts
        for call in part.message.tool_calls or ()
    ]
    text = "".join(part.message.content or "" for part in parts)
    last = parts[-1]
    ends = [part.done for part in parts]
    return answer(
        text,
        calls,
        end=last.done_reason,
        tokens=(last.prompt_eval_count, last.eval_count),
        ends_once=ends == [False] * (len(ends) - 1) + [True],
        measured=bool(last.total_duration and last.eval_duration),
    )


@step
def chat():
    return whole(QUESTION)


@step
def chat_streamed():
    return streamed(QUESTION)


@step
def tool():
    return whole(ORDER, tools=[LED_TOOL])


@step
def tool_streamed():
    return streamed(ORDER, tools=[LED_TOOL])


@step
def schema():
    return whole(QUESTION, format=CITY_SCHEMA)


@step
def schema_streamed():
    return streamed(QUESTION, format=CITY_SCHEMA)


@step
def tool_result():
    """The result of a call has no id, only its place."""
    first = client.chat(MODEL, [user(ORDER)], tools=[LED_TOOL], options=OPTIONS)
    messages = [user(ORDER), first.message, {"role": "tool", "content": "done"}]
    return of_chat(client.chat(MODEL, messages, tools=[LED_TOOL], options=OPTIONS))


@step
def function_as_tool():
    def set_led(color: str) -> str:
        """Set the color of the LED.

        Args:
            color: Color name
        """
        return color

    return whole(ORDER, tools=[set_led])


@step
def generate():
    reply = client.generate(MODEL, QUESTION, options=OPTIONS)
    return answer(reply.response, end=reply.done_reason)


@step
def generate_streamed():
    parts = list(client.generate(MODEL, QUESTION, stream=True, options=OPTIONS))
    return answer("".join(part.response for part in parts), end=parts[-1].done_reason)


@step
def generate_schema():
    reply = client.generate(MODEL, QUESTION, format=CITY_SCHEMA, options=OPTIONS)
    return answer(reply.response, end=reply.done_reason)


@step
def load():
    """No messages load the model."""
    return client.chat(MODEL, keep_alive=-1.0).done_reason


@step
def models():
    return [model.model for model in client.list().models]


@step
def show():
    shown = client.show(MODEL)
    return {
        "capabilities": sorted(shown.capabilities or []),
        "architecture": (shown.modelinfo or {}).get("general.architecture"),
        "family": shown.details.family if shown.details else None,
    }


@step
def running():
    return [model.model for model in client.ps().models]


@step
def unknown_model():
    try:
        client.chat("no-such-model", [user(QUESTION)])
    except ollama.ResponseError as error:
        return error.status_code
    return None
