"""Drives `langchain-openai`, by chat completions and by Responses."""

from __future__ import annotations

from langchain_openai import ChatOpenAI
from langchain_steps import of_message, run, streamed
from steps import KEY, LED_TOOL, MAX_TOKENS, MODEL, ORDER, QUESTION, URL, step

FIELDS = {
    "base_url": f"{URL}/v1",
    "api_key": KEY,
    "model": MODEL,
    "temperature": 0,
    "max_tokens": MAX_TOKENS,
    "max_retries": 0,
}
run(ChatOpenAI(**FIELDS))
responses = ChatOpenAI(**FIELDS, use_responses_api=True)


@step
def response():
    return of_message(responses.invoke(QUESTION))


@step
def response_streamed():
    return streamed(responses, QUESTION)


@step
def response_tool():
    return of_message(responses.bind_tools([LED_TOOL], tool_choice="any").invoke(ORDER))
