"""Drives `langchain-anthropic`."""

from __future__ import annotations

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_steps import run
from steps import KEY, MAX_TOKENS, MODEL, QUESTION, URL, step

model = ChatAnthropic(base_url=URL, api_key=KEY, model=MODEL, max_tokens=MAX_TOKENS, max_retries=0)
run(model)


@step
def count():
    return model.get_num_tokens_from_messages([HumanMessage(QUESTION)])
