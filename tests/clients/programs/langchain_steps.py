"""Owns the steps that the LangChain programs share; each gives its chat model."""

from typing import Literal

from pydantic import BaseModel
from steps import CITY_SCHEMA, LED_TOOL, ORDER, QUESTION, answer, step


class City(BaseModel):
    """A city, and whether it is a capital."""

    city: Literal["Paris", "Rome"]
    capital: bool


def of_message(message, **more):
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    meta = message.response_metadata
    end = meta.get("finish_reason") or meta.get("stop_reason") or meta.get("done_reason")
    used = message.usage_metadata or {}
    tokens = (used.get("input_tokens"), used.get("output_tokens"))
    return answer(str(message.text), calls, end=end or meta.get("status"), tokens=tokens, **more)


def streamed(runnable, content):
    whole = None
    for chunk in runnable.stream(content):
        whole = chunk if whole is None else whole + chunk
    return of_message(whole)


def run(model, *, forced="any", structured=("json_schema", "function_calling")):
    """Run all steps.

    Args:
        model: the chat model.
        forced: what it calls a tool choice that makes it call; None where it has none.
        structured: its ways to hold an answer to a schema.
    """
    tools = model.bind_tools([LED_TOOL], **({"tool_choice": forced} if forced else {}))

    @step
    def chat():
        return of_message(model.invoke(QUESTION))

    @step
    def chat_streamed():
        return streamed(model, QUESTION)

    @step
    def tool():
        return of_message(tools.invoke(ORDER))

    @step
    def tool_streamed():
        return streamed(tools, ORDER)

    @step
    def schema():
        held = model.with_structured_output(CITY_SCHEMA, method=structured[0])
        return {"object": held.invoke(QUESTION)}

    @step
    def schema_by_class():
        return {
            method: model.with_structured_output(City, method=method).invoke(QUESTION).model_dump()
            for method in structured
        }
