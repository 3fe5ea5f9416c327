"""Owns reading streamed answers in a trial, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import httpx

from scripts.fault_trials.target import CHAT

_TIMEOUT_S = 120.0


class StreamFailed(Exception):
    """A stream was refused, ended with an error, or without its end.

    Args:
        retry_after_s: seconds that the server asked to wait, where it was full.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def story(number: int, n_tokens: int) -> dict[str, Any]:
    """Return a request for an answer of so many tokens; another one for each number."""
    return {
        "messages": [{"role": "user", "content": f"Tell me story {number}."}],
        "temperature": 0,
        "ignore_eos": True,
        "max_tokens": n_tokens,
        "stream": True,
    }


def chunks(client: httpx.Client, body: dict[str, Any]) -> Generator[dict[str, Any]]:
    """Yield the chunks of a streamed answer as they come.

    Raises:
        StreamFailed: it was refused, or it broke off.
        httpx.HTTPError: the connection did.
    """
    with client.stream("POST", CHAT, json=body, timeout=_TIMEOUT_S) as response:
        if response.status_code != 200:
            text = f"{response.status_code}: {response.read().decode()}"
            is_full = response.status_code == 429
            raise StreamFailed(text, float(response.headers["retry-after"]) if is_full else None)
        for line in response.iter_lines():
            if line == "data: [DONE]":
                return
            if line.startswith("data: "):
                chunk = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    raise StreamFailed(chunk["error"]["code"])
                yield chunk
    raise StreamFailed("no end")


def pieces(client: httpx.Client, body: dict[str, Any]) -> Generator[str]:
    """Yield the text of a streamed answer as it comes; raises what `chunks` does."""
    for chunk in chunks(client, body):
        yield "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


def message(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return a streamed answer put together, with its model; raises what `chunks` does."""
    content, calls, model = "", [], ""
    for chunk in chunks(client, body):
        model = chunk["model"]
        for choice in chunk["choices"]:
            content += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or []:
                if "name" in call["function"]:
                    calls.append({"function": {"name": call["function"]["name"], "arguments": ""}})
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    said = content if content or not calls else None
    return {"content": said, "tool_calls": calls, "model": model}
