"""Drives `langchain-ollama`."""

from __future__ import annotations

from langchain_ollama import ChatOllama, OllamaLLM
from langchain_steps import run
from steps import MAX_TOKENS, MODEL, QUESTION, URL, answer, step

FIELDS = {"base_url": URL, "model": MODEL, "temperature": 0, "num_predict": MAX_TOKENS}
# Its calls are the model's choice: it sends no tool_choice.
run(ChatOllama(**FIELDS), forced=None, structured=("json_schema",))


@step
def generate():
    return answer(OllamaLLM(**FIELDS).invoke(QUESTION))


@step
def generate_streamed():
    return answer("".join(OllamaLLM(**FIELDS).stream(QUESTION)))
