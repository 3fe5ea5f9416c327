"""Drives the `anthropic` package: messages, whole and streamed, tools, schemas, counts, models."""

from __future__ import annotations

import anthropic
from steps import (
    CITY_SCHEMA,
    KEY,
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

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
FIELDS = {"model": MODEL, "max_tokens": MAX_TOKENS}
FUNCTION = LED_TOOL["function"]
TOOL = {
    "name": FUNCTION["name"],
    "description": FUNCTION["description"],
    "input_schema": FUNCTION["parameters"],
}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "any"}}
HELD = {"output_config": {"format": {"type": "json_schema", "schema": CITY_SCHEMA}}}


def of_message(message, **more):
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    used = message.usage
    read = used.input_tokens + (used.cache_read_input_tokens or 0)
    read += used.cache_creation_input_tokens or 0
    tokens = (read, used.output_tokens)
    return answer(text, calls, end=message.stop_reason, tokens=tokens, **more)


def whole(content, **fields):
    return of_message(client.messages.create(**FIELDS, messages=[user(content)], **fields))


def streamed(content, **fields):
    with client.messages.stream(**FIELDS, messages=[user(content)], **fields) as stream:
        events = list(stream)
        final = stream.get_final_message()
    text = "".join(event.text for event in events if event.type == "text")
    return of_message(final, sum_of_deltas=text, events=sorted({event.type for event in events}))


@step
def chat():
    return whole(QUESTION)


@step
def chat_streamed():
    return streamed(QUESTION)


@step
def tool():
    return whole(ORDER, **FORCED)


@step
def tool_streamed():
    return streamed(ORDER, **FORCED)


@step
def schema():
    return whole(QUESTION, **HELD)


@step
def schema_streamed():
    return streamed(QUESTION, **HELD)


@step
def tool_result():
    first = client.messages.create(**FIELDS, messages=[user(ORDER)], **FORCED)
    (call,) = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
    messages = [
        user(ORDER),
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    return of_message(client.messages.create(**FIELDS, messages=messages, tools=[TOOL]))


@step
def tool_runner():
    """The client calls the function and sends its result alone: the service has the rest."""
    given = []

    @anthropic.beta_tool
    def set_led(color: str) -> str:
        """Set the color of the LED.

        Args:
            color: Color name
        """
        given.append(color)
        return "done"

    runner = client.beta.messages.tool_runner(
        **FIELDS, messages=[user(ORDER)], tools=[set_led], max_iterations=2
    )
    return {"messages": [message.stop_reason for message in runner], "given": given}


@step
def stop_sequence():
    message = client.messages.create(**FIELDS, messages=[user(QUESTION)], stop_sequences=["Paris"])
    return {"end": message.stop_reason, "stop_sequence": message.stop_sequence}


@step
def count():
    return client.messages.count_tokens(model=MODEL, messages=[user(QUESTION)]).input_tokens


@step
def models():
    return [model.id for model in client.models.list()]


@step
def unknown_model():
    try:
        client.messages.create(model="no-such-model", max_tokens=1, messages=[user(QUESTION)])
    except anthropic.NotFoundError as error:
        return error.body["error"]["type"]
    return None


@step
def bad_field():
    try:
        client.messages.create(**FIELDS, messages=[user(QUESTION)], extra_body={"temperature": -1})
    except anthropic.BadRequestError as error:
        return error.body["error"]["type"]
    return None
