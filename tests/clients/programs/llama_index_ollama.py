"""Drives `llama-index-llms-ollama`."""

from typing import Literal

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel
from steps import MAX_TOKENS, MODEL, ORDER, QUESTION, URL, answer, step

llm = Ollama(
    model=MODEL,
    base_url=URL,
    request_timeout=60.0,
    temperature=0,
    context_window=1024,
    additional_kwargs={"num_predict": MAX_TOKENS},
)


class City(BaseModel):
    """A city, and whether it is a capital."""

    city: Literal["Paris", "Rome"]
    capital: bool


def set_led(color: str) -> str:
    """Set the color of the LED."""
    return color


LED = FunctionTool.from_defaults(set_led)


def of_reply(reply):
    calls = llm.get_tool_calls_from_response(reply, error_on_no_tool_call=False)
    told = [(call.tool_name, call.tool_kwargs) for call in calls]
    raw = dict(reply.raw or {})
    tokens = (raw.get("prompt_eval_count"), raw.get("eval_count"))
    return answer(reply.message.content, told, end=raw.get("done_reason"), tokens=tokens)


@step
def chat():
    return of_reply(llm.chat([ChatMessage(role="user", content=QUESTION)]))


@step
def chat_streamed():
    replies = list(llm.stream_chat([ChatMessage(role="user", content=QUESTION)]))
    deltas = "".join(reply.delta or "" for reply in replies)
    return {**of_reply(replies[-1]), "sum_of_deltas": deltas}


@step
def tool():
    return of_reply(llm.chat_with_tools([LED], user_msg=ORDER))


@step
def tool_streamed():
    return of_reply(list(llm.stream_chat_with_tools([LED], user_msg=ORDER))[-1])


@step
def schema():
    made = llm.structured_predict(City, PromptTemplate("{question}"), question=QUESTION)
    return {"object": made.model_dump()}


@step
def schema_streamed():
    parts = list(
        llm.stream_structured_predict(City, PromptTemplate("{question}"), question=QUESTION)
    )
    return {"object": parts[-1].model_dump()}


@step
def complete():
    return answer(llm.complete(QUESTION).text)


@step
def complete_streamed():
    return answer("".join(part.delta or "" for part in llm.stream_complete(QUESTION)))
