"""Drives the `openai` package: chat, legacy completions, models, Responses."""

from __future__ import annotations

import openai
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

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
CHAT = {"model": MODEL, "temperature": 0, "max_tokens": MAX_TOKENS}
RESPONSE = {"model": MODEL, "temperature": 0, "max_output_tokens": MAX_TOKENS}
LED_FUNCTION = {"type": "function", **LED_TOOL["function"]}


def of_chat(completion):
    (choice,) = completion.choices
    calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
    used = (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    return answer(choice.message.content, calls, end=choice.finish_reason, tokens=used)


def streamed_chat(**fields):
    with client.chat.completions.stream(**CHAT, **fields) as stream:
        seen = [event.type for event in stream]
        final = stream.get_final_completion()
    (choice,) = final.choices
    calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
    return answer(choice.message.content, calls, end=choice.finish_reason, events=sorted(set(seen)))


@step
def chat():
    return of_chat(client.chat.completions.create(**CHAT, messages=[user(QUESTION)]))


@step
def chat_streamed():
    return streamed_chat(messages=[user(QUESTION)])


@step
def tool():
    return of_chat(
        client.chat.completions.create(
            **CHAT, messages=[user(ORDER)], tools=[LED_TOOL], tool_choice="required"
        )
    )


@step
def tool_streamed():
    return streamed_chat(messages=[user(ORDER)], tools=[LED_TOOL], tool_choice="required")


@step
def schema():
    held = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA}}
    return of_chat(
        client.chat.completions.create(**CHAT, messages=[user(QUESTION)], response_format=held)
    )


@step
def schema_streamed():
    held = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA}}
    return streamed_chat(messages=[user(QUESTION)], response_format=held)


@step
def models():
    return [model.id for model in client.models.list()]


@step
def model():
    return client.models.retrieve(MODEL).id


@step
def unknown_model():
    try:
        client.chat.completions.create(model="no-such-model.gguf", messages=[user(QUESTION)])
    except openai.NotFoundError as error:
        return error.code
    return None


@step
def completion():
    done = client.completions.create(**CHAT, prompt="Paris is the capital of", stop="\n")
    return answer(done.choices[0].text, end=done.choices[0].finish_reason)


@step
def completion_streamed():
    parts = client.completions.create(
        **CHAT, prompt="Paris is the capital of", stop="\n", stream=True
    )
    told = [part.choices[0] for part in parts if part.choices]
    return answer("".join(part.text for part in told), end=told[-1].finish_reason)


def of_response(response, **more):
    calls = [(i.name, i.arguments) for i in response.output if i.type == "function_call"]
    used = (response.usage.input_tokens, response.usage.output_tokens)
    return answer(response.output_text, calls, end=response.status, tokens=used, **more)


def streamed_response(**fields):
    with client.responses.stream(**RESPONSE, **fields) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    numbers = [event.sequence_number for event in events]
    return of_response(
        final,
        sum_of_deltas="".join(deltas),
        in_order=numbers == sorted(set(numbers)),
        events=sorted({event.type for event in events}),
    )


@step
def response():
    return of_response(client.responses.create(**RESPONSE, input=QUESTION))


@step
def response_streamed():
    return streamed_response(input=QUESTION)


@step
def response_tool():
    return of_response(
        client.responses.create(
            **RESPONSE, input=ORDER, tools=[LED_FUNCTION], tool_choice="required"
        )
    )


@step
def response_tool_streamed():
    return streamed_response(input=ORDER, tools=[LED_FUNCTION], tool_choice="required")


HELD = {"format": {"type": "json_schema", "name": "city", "schema": CITY_SCHEMA, "strict": True}}


@step
def response_schema():
    return of_response(client.responses.create(**RESPONSE, input=QUESTION, text=HELD))


@step
def response_schema_streamed():
    return streamed_response(input=QUESTION, text=HELD)


@step
def response_continued():
    """A tool's result goes to the response that called it, by its id alone."""
    tools = {"tools": [LED_FUNCTION], "tool_choice": "required"}
    first = client.responses.create(**RESPONSE, input=ORDER, **tools)
    (call,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"ok": true}'}
    second = client.responses.create(
        **RESPONSE, previous_response_id=first.id, input=[result], tools=[LED_FUNCTION]
    )
    listed = client.responses.input_items.list(second.id)
    again = client.responses.retrieve(second.id)
    client.responses.delete(second.id)
    try:
        client.responses.retrieve(second.id)
        deleted = False
    except openai.NotFoundError:
        deleted = True
    return {
        "previous": second.previous_response_id == first.id,
        "status": second.status,
        "grown": second.usage.input_tokens > first.usage.input_tokens,
        "cached": second.usage.input_tokens_details.cached_tokens,
        "of_first": first.usage.input_tokens,
        "same": again.output_text == second.output_text,
        "input_types": sorted({item.type for item in listed}),
        "deleted": deleted,
    }
