"""Owns how a client program tells what it received: one line of JSON for each step.

A program is run as `PROGRAM BASE_URL MODEL` by the Python of the clients' environment, which has
nothing else of this repository. What is asked of every client is in steps.json.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_TOLD = json.loads((Path(__file__).parent / "steps.json").read_text())
URL, MODEL = sys.argv[1:3]
KEY = "any"  # the server has no keys; some clients want one all the same
QUESTION: str = _TOLD["question"]
ORDER: str = _TOLD["order"]
MAX_TOKENS: int = _TOLD["max_tokens"]
LED_TOOL: dict[str, Any] = _TOLD["led_tool"]
CITY_SCHEMA: dict[str, Any] = _TOLD["city_schema"]


def user(text: str) -> dict[str, str]:
    """Return a user message."""
    return {"role": "user", "content": text}


def step(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run a step named after its function and tell its result or its error; a decorator."""
    line: dict[str, Any] = {"step": function.__name__}
    try:
        line["result"] = function()
    except Exception:
        line["error"] = traceback.format_exc()
    print(json.dumps(line, default=str), flush=True)
    return function


def answer(
    text: str | None = None,
    calls: Iterable[tuple[str, Any]] = (),
    *,
    end: str | None = None,
    tokens: tuple[int | None, int | None] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return an answer in the shape that tests compare: arguments of calls are objects."""
    told = [[name, json.loads(given) if isinstance(given, str) else given] for name, given in calls]
    return {"text": text or "", "calls": told, "end": end, "tokens": tokens, **more}
