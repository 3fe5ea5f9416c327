"""Clients may send their bodies compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import pytest

from tests.live.server import LiveServer
from tests.live.test_bad_input import error_of

BODY = json.dumps({"content": "Hello!"}).encode()


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer("--max-body-bytes", "100000") as server:
        yield server.wait_healthy()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("identity", BODY)],
)
def test_a_compressed_body_means_what_it_holds(
    live: LiveServer, coding: str, packed: bytes
) -> None:
    headers = {"Content-Encoding": coding}
    plain = live.http.post("/tokenize", content=BODY).json()
    assert live.http.post("/tokenize", content=packed, headers=headers).json() == plain
    chunked = live.http.post("/tokenize", content=iter([packed[:5], packed[5:]]), headers=headers)
    assert chunked.json() == plain


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize"])
def test_an_unknown_coding_is_a_415(live: LiveServer, path: str) -> None:
    response = live.http.post(path, content=BODY, headers={"Content-Encoding": "br"})
    assert error_of(response, 415)["code"] == "unsupported_media_type"
    assert response.headers["accept-encoding"] == "gzip, deflate"
    name = response.headers["x-request-id"]
    line = live.wait_for_log("request", request_id=name)
    assert (line["status"], line["error_code"]) == (415, "unsupported_media_type")


def test_a_corrupt_body_is_a_400_and_one_that_unpacks_to_too_much_a_413(live: LiveServer) -> None:
    headers = {"Content-Encoding": "gzip"}
    error = error_of(live.http.post("/tokenize", content=BODY, headers=headers), 400)
    assert (error["param"], error["code"]) == ("body", "invalid_encoding")
    large = gzip.compress(json.dumps({"content": "x" * 200_000}).encode())
    error = error_of(live.http.post("/tokenize", content=large, headers=headers), 413)
    assert error["code"] == "request_too_large"
    assert "max_body_bytes" in error["message"]


def test_without_a_body_the_coding_does_not_matter(live: LiveServer) -> None:
    assert live.http.get("/models", headers={"Content-Encoding": "br"}).status_code == 200
