"""One driver answers for every dialect: here for one of a few lines, on the real service."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.answering.lines_dialect import REPLY_ID
from tests.host.fake_engine import USAGE
from tests.live.server import LiveServer
from tests.models.gguf_files import write_llama


class Service(LiveServer):
    """The real service with the dialect of lines, and engines that only pretend."""

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "notes"
        write_llama(folder / "first.gguf")
        super().__init__(
            *("--models-dir", str(folder), "--cache-dir", str(folder / "cache")),
            *("--model-name", "first.gguf", "--sse-ping-s", "0.02"),
            command=("-m", "tests.api.answering.lines_dialect", "serve"),
            environment={"FAKE_ENGINE_NOTES": str(self._notes)},
        )

    def ask(self, *prompts: str, **fields: Any) -> httpx.Response:
        return self.http.post("/lines", json={"prompts": prompts, **fields})

    def told(self, kind: str) -> list[Any]:
        """Return the commands of one kind that the engine was sent."""
        return [told for told in lines(self._notes.read_text()) if told["type"] == kind]

    def log_line(self, response: httpx.Response) -> dict[str, Any]:
        """Return the one log line of a request."""
        request_id = response.headers["x-request-id"]
        self.wait_for_log("request", request_id=request_id)
        (line,) = [line for line in self.log("request") if line["request_id"] == request_id]
        return line

    def completion_tokens(self) -> float:
        """Return how many tokens of answers have been counted."""
        metrics = self.http.get("/metrics").text
        counted = re.findall(r'tokens_total{kind="completion"} (.*)', metrics)
        return sum(map(float, counted))  # nothing is written before the first answer


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("lines")) as service:
        service.wait_healthy()
        yield service


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line]


# ---------------------------------------------------------------- answers


def test_a_whole_answer_has_the_texts_of_all_prompts_and_choices(live: Service) -> None:
    response = live.ask("a", "b", n=2)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "texts": {"0.0": "Hi", "0.1": "Hi", "1.0": "Hi", "1.1": "Hi"},
        "completion_tokens": 4 * USAGE.completion_tokens,
    }


@pytest.mark.parametrize("prompts", [("a",), ("a", "b", "c")])
def test_a_stream_is_framed_by_its_dialect(live: Service, prompts: tuple[str, ...]) -> None:
    response = live.ask(*prompts, stream=True)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["x-lines"] == "yes"
    *pieces, last = lines(response.text)
    assert sorted(piece["at"] for piece in pieces) == [f"{no}.0" for no in range(len(prompts))]
    assert last == {"done": len(prompts) * USAGE.completion_tokens}


def test_only_the_first_of_several_prompts_has_to_find_room_in_the_queue(live: Service) -> None:
    before = len(live.told("Generate"))
    assert live.ask(*"abcdef", n=3).status_code == 200
    told = live.told("Generate")[before:]
    assert [each["is_admitted"] for each in told] == [False, *[True] * 5]


def test_a_reader_sees_headers_and_what_the_model_defaults_to(live: Service) -> None:
    body, headers = {"prompts": ["warm"]}, {"X-Temperature": "0.25"}
    live.http.post("/lines", json=body, headers=headers)
    sampling = live.told("Generate")[-1]["sampling"]
    assert (sampling["temperature"], sampling["top_k"]) == (0.25, 40)


def test_silence_in_a_stream_is_filled_with_the_dialects_pings(
    live: Service, tmp_path: Path
) -> None:
    for number, prompts in enumerate([("wait {}",), ("wait {}", "a")]):
        fifo = tmp_path / f"fifo{number}"
        os.mkfifo(fifo)
        body = {"prompts": [each.format(fifo) for each in prompts], "stream": True}
        with live.http.stream("POST", "/lines", json=body) as response:
            received = response.iter_raw()
            text = next(received)
            while not text.endswith(b"\n\n\n"):
                text += next(received)
            fifo.write_bytes(b"")
            text += b"".join(received)
        assert lines(text.decode())[-1] == {"done": len(prompts)}


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_byte_has_its_status_and_the_dialects_shape(
    live: Service, stream: bool
) -> None:
    response = live.ask("refuse", stream=stream)
    assert (response.status_code, response.json()) == (400, {"problem": "chat_template_error"})
    assert live.log_line(response)["error_code"] == "chat_template_error"


@pytest.mark.parametrize("prompts", [("break",), ("break", "a"), ("a", "break")])
def test_an_error_inside_a_stream_ends_it_in_the_dialects_way(
    live: Service, prompts: tuple[str, ...]
) -> None:
    response = live.ask(*prompts, stream=True)
    last = {"problem": "chat_template_error"}
    if response.status_code == 200:  # else all of it had arrived together
        assert lines(response.text)[-1] == last
    else:
        assert (response.status_code, response.json()) == (400, last)
    line = live.log_line(response)
    assert (line["status"], line["error_code"]) == (400, "chat_template_error")


def test_errors_of_the_transport_have_the_dialects_shape_on_its_paths(live: Service) -> None:
    assert live.http.put("/lines").json() == {"problem": "method_not_allowed"}
    assert live.http.post("/lines", content=b"{").json() == {"problem": "invalid_json"}
    page = {"Origin": "https://evil.example"}
    refused = live.http.post("/lines", json={"prompts": []}, headers=page)
    assert (refused.status_code, refused.json()) == (403, {"problem": "origin_not_allowed"})
    assert live.http.put("/models").json()["error"]["code"] == "method_not_allowed"


# ---------------------------------------------------------------- log and metrics


@pytest.mark.parametrize("stream", [True, False])
def test_every_request_has_one_log_line_and_is_counted_once(live: Service, stream: bool) -> None:
    before = live.completion_tokens()
    line = live.log_line(live.ask("a", "b", stream=stream))
    told = {"status": 200, "stream": stream, "reply_id": REPLY_ID, "model": "first.gguf"}
    assert told.items() <= line.items()
    assert line["prompt_tokens"] == 2 * USAGE.prompt_tokens
    assert line["completion_tokens"] == 2 * USAGE.completion_tokens
    assert line["finish_reason"] == "stop"
    assert live.completion_tokens() - before == 2 * USAGE.completion_tokens


def test_a_client_that_hangs_up_cancels_all_its_prompts(live: Service, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = len(live.told("Cancel"))
    body = {"prompts": [f"wait {fifo}", "a"], "stream": True}
    with live.http.stream("POST", "/lines", json=body) as response:
        next(response.iter_raw())
    assert live.log_line(response)["status"] == 499
    fifo.write_bytes(b"")
    live.wait_until(lambda: len(live.told("Cancel")) == before + 2)
