"""Owns a dialect of a few lines that shows all that the driver does: several prompts, JSON lines.

Run as a program it starts the real service, which speaks it too, with engines that only pretend.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel

from app.api import routes
from app.api.answering.driver import answers
from app.api.dialect import Ask, Dialect, ServedModel, Writer
from app.api.outcome import Outcome
from app.api.route import Route
from app.base.json_types import as_json
from app.cli.main import main
from app.host.process import spawn
from app.protocol import Generate, RequestEvent, TextDelta
from app.web.errors import Fault, fault_of
from app.web.json_body import parse

REPLY_ID = "lines-1"


class LinesRequest(BaseModel):
    """Body of `POST /lines`."""

    prompts: list[str]
    model: str | None = None
    n: int = 1
    stream: bool = False


class LinesResponse(BaseModel):
    """Answer of `POST /lines`: a text for each prompt and each of its answers."""

    texts: dict[str, str]


class LinesWriter(Writer):
    """Names each piece by prompt and answer."""

    stream_content_type = "application/x-ndjson"
    stream_headers: Mapping[str, str] = {"X-Lines": "yes"}

    def __init__(self, begin: bytes = b"") -> None:
        self._begin = begin
        self._texts: dict[str, str] = {}

    def begin(self) -> bytes:
        """Return what it was made with."""
        return self._begin

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Keep text."""
        if isinstance(event, TextDelta):
            self._texts[f"{prompt_no}.{event.choice}"] = event.text

    def whole(self, outcome: Outcome) -> bytes:
        """Return all texts."""
        return msgspec.json.encode(
            {"texts": self._texts, "completion_tokens": outcome.usage.completion_tokens}
        )

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return a line for text."""
        if isinstance(event, TextDelta):
            return _line({"at": f"{prompt_no}.{event.choice}", "text": event.text})
        return b""

    def end(self, outcome: Outcome) -> bytes:
        """Return the last line."""
        return _line({"done": outcome.usage.completion_tokens})

    def ping(self) -> bytes:
        """Return an empty line."""
        return b"\n"

    def error(self, error: Exception) -> bytes:
        """Return a line that ends a stream."""
        return _line(_problem(fault_of(error)))


def read(body: bytes, headers: Mapping[str, str]) -> Ask:
    """Return what a body and its header `x-temperature` ask for."""
    asked = parse(body, LinesRequest)

    def commands(model: ServedModel) -> list[Generate]:
        temperature = float(headers.get("x-temperature", "1"))
        return [
            Generate(
                request_id=f"{REPLY_ID}-{number}",
                messages=as_json([{"role": "user", "content": prompt}]),
                sampling=msgspec.structs.replace(model.defaults.sampling, temperature=temperature),
                n=asked.n,
            )
            for number, prompt in enumerate(asked.prompts)
        ]

    def writer(_model: ServedModel, _commands: Sequence[Generate]) -> LinesWriter:
        return LinesWriter()

    return Ask(
        reply_id=REPLY_ID,
        model=asked.model,
        overrides={},
        stream=asked.stream,
        commands=commands,
        writer=writer,
    )


def _problem(fault: Fault) -> dict[str, Any]:
    return {"problem": fault.code}


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"


LINES = Dialect(
    name="lines",
    routes=(
        Route(
            method="post",
            path="/lines",
            handler=answers(read),
            summary="Answer prompts",
            response=LinesResponse,
            request=LinesRequest,
            streams=True,
        ),
    ),
    error_body=_problem,
)


if __name__ == "__main__":
    spawn._ENGINE_MODULE = "tests.host.fake_engine"
    routes.DIALECTS = (*routes.DIALECTS, LINES)
    sys.exit(main(sys.argv[1:]))
