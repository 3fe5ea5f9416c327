"""A models folder with files that are no models, as clients of the service see it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.server import MODELS, NANO, LiveServer
from tests.models.gguf_files import write_llama
from tests.models.gguf_rewrite import Gguf

GOOD, LACKING = "caf\u00e9.gguf", "lacking.gguf"
NO_MODELS = {
    "lora.gguf": "is a LoRA adapter",
    "gemma-3-4b-it-mmproj-f16.gguf": "is a projector",
    "mmproj-f16.gguf": "projector",
    "embed.gguf": "is an embedding model",
    "big-00001-of-00002.gguf": "its part big-00002-of-00002.gguf is missing",
    "junk.gguf": "is not a valid GGUF file",
    "cut.gguf": "is the file complete?",
    "empty.gguf": "it is empty",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose one good model is the oldest file."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(MODELS / NANO, folder / GOOD)
    os.utime(folder / GOOD, (1, 1))
    nano = Gguf.read(MODELS / NANO)
    nano.with_values({"qwen3.context_length": None}).write(folder / LACKING)
    write_llama(folder / "lora.gguf", general__type="adapter")
    write_llama(folder / "gemma-3-4b-it-mmproj-f16.gguf", general__architecture="clip")
    write_llama(folder / "mmproj-f16.gguf")
    write_llama(folder / "embed.gguf", general__architecture="nomic-bert")
    write_llama(folder / "big-00001-of-00002.gguf", split__count=2)
    (folder / "junk.gguf").write_bytes(b"<html>not found</html>......")
    (folder / "cut.gguf").write_bytes(nano.encoded()[:-50])
    (folder / "empty.gguf").touch()
    (folder / "download.gguf.part").write_bytes(b"GGUF")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LiveServer]:
    with LiveServer("--models-dir", str(folder)) as live:
        live.wait_until(lambda: live.http.get("/health").status_code == 200)
        yield live


def test_the_start_serves_the_newest_model_that_loads_and_tells_of_the_others(
    server: LiveServer,
) -> None:
    assert server.health["current_model"] == GOOD
    (warning,) = server.health["warnings"]
    assert warning.startswith(f"{LACKING} was to serve but did not load: ")
    assert "key not found in model: qwen3.context_length" in warning
    skipped = {line["model"]: line["reason"] for line in server.log("model_skipped")}
    assert skipped.keys() == NO_MODELS.keys()
    (failed,) = server.log("model_load_failed")
    assert "qwen3.context_length" in failed["error"]


def test_only_models_are_listed(server: LiveServer) -> None:
    body = server.http.get("/v1/models").json()
    assert body["models"] == [entry["id"] for entry in body["data"]] == [GOOD, LACKING]


@pytest.mark.parametrize("name", NO_MODELS)
def test_a_file_that_is_no_model_is_refused_with_what_it_is(server: LiveServer, name: str) -> None:
    body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    refused = server.http.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "model_load_failed")
    shown = server.http.get(f"/v1/models/{name}")
    assert shown.status_code == 404
    for response in (refused, shown):
        assert name in response.json()["error"]["message"]
        assert NO_MODELS[name] in response.json()["error"]["message"]
    assert server.chat("Hi", max_tokens=2)["model"] == GOOD


def test_a_load_error_names_what_llama_cpp_missed(server: LiveServer) -> None:
    refused = server.http.post("/setModel", json={"model_name": LACKING})
    assert refused.status_code == 500
    assert "key not found in model: qwen3.context_length" in refused.json()["detail"]
    assert f"{GOOD} continues to serve" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["cafe\u0301", "cafe\u0301.gguf", "caf\u00e9"])
def test_a_name_is_found_in_any_unicode_form(server: LiveServer, name: str) -> None:
    assert server.chat("Hi", max_tokens=2, model=name)["model"] == name
    assert server.http.get(f"/v1/models/{name}").json()["id"] == GOOD
