"""Models are listed, described, made, copied and deleted by Ollama's clients.

Covers `app.api.dialects.ollama_catalogue.changes`, `app.api.dialects.ollama_catalogue.creation`,
`app.api.dialects.ollama_catalogue.listing`, `app.api.dialects.ollama_catalogue.uploads`,
`app.api.dialects.ollama_catalogue.transfers` and `app.api.dialects.ollama_catalogue.schemas`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.server import MODELS, NANO, LiveServer
from tests.models.gguf_files import write_llama

DIGEST = hashlib.sha256((MODELS / NANO).read_bytes()).hexdigest()
ABSENT = "0" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(MODELS / NANO, folder / "m1.gguf")
    write_llama(folder / "lora.gguf", general__type="adapter")
    return folder


@pytest.fixture(scope="module")
def live(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    cache = tmp_path_factory.mktemp("cache")
    with LiveServer("--models-dir", str(folder), "--cache-dir", str(cache)) as server:
        yield server.wait_healthy()


@pytest.fixture
def http(live: LiveServer, folder: Path) -> Iterator[httpx.Client]:
    """A client; models that a test made are deleted behind it."""
    yield live.http
    live.http.post("/setModel", json={"model_name": "m1"})
    for path in folder.iterdir():
        if path.name not in ("m1.gguf", "lora.gguf"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def post(http: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return http.post(path, json=body)


def delete(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.request("DELETE", "/api/delete", json=body)


def listed(http: httpx.Client) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in http.get("/api/tags").json()["models"]}


def upload(http: httpx.Client, data: bytes, digest: str | None = None) -> httpx.Response:
    digest = digest or hashlib.sha256(data).hexdigest()
    return http.post(f"/api/blobs/sha256:{digest}", content=data)


def error(response: httpx.Response) -> str:
    """Return the text of an error, which is all that its body has."""
    (text,) = response.json().values()
    assert list(response.json()) == ["error"]
    return str(text)


# ---------------------------------------------------------------- told


@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
def test_what_is_told_is_told_to_head_too(http: httpx.Client, path: str) -> None:
    assert http.head(path).status_code == 200


def test_the_version_is_numbers_that_are_new_enough(http: httpx.Client) -> None:
    version = http.get("/api/version").json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 17, 6)


def test_the_list_has_models_only_and_their_digest_once_it_is_known(
    live: LiveServer, http: httpx.Client
) -> None:
    assert list(listed(http)) == ["m1:latest"]
    live.wait_until(lambda: listed(http)["m1:latest"]["digest"] == DIGEST)


def test_the_loaded_model_runs_until_a_date(http: httpx.Client) -> None:
    (running,) = http.get("/api/ps").json()["models"]
    assert running["name"] == running["model"] == "m1:latest"
    assert datetime.datetime.fromisoformat(running["expires_at"]).tzinfo
    assert running["size_vram"] == 0
    assert running["context_length"] == 2048


@pytest.mark.parametrize("name", ["m1", "m1:latest", "m1.gguf", "M1:LATEST", "library/m1"])
@pytest.mark.parametrize("field", ["model", "name"])
def test_a_model_is_shown_by_each_of_its_names(http: httpx.Client, field: str, name: str) -> None:
    body = post(http, "/api/show", **{field: name}).json()
    assert body["details"]["family"] == "qwen3"
    assert body["model_info"]["qwen3.context_length"] == 2048
    assert body["parameters"].split() == ["num_ctx", "2048"]


# ---------------------------------------------------------------- bad input

FAULTS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/show", {}, 400, "model is required"),
    ("POST", "/api/show", {"model": "nobody"}, 404, "model 'nobody' not found"),
    ("POST", "/api/show", {"model": "lora"}, 404, "is a LoRA adapter"),
    ("POST", "/api/show", {"model": 1}, 400, "model: "),
    ("POST", "/api/copy", {"source": "m1"}, 400, "destination: "),
    ("POST", "/api/copy", {"source": "x", "destination": "y"}, 404, "model 'x' not found"),
    ("POST", "/api/copy", {"source": "m1", "destination": "../y"}, 400, "not a valid file name"),
    ("POST", "/api/copy", {"source": "m1", "destination": "a/b"}, 400, "not a valid file name"),
    ("POST", "/api/copy", {"source": "m1", "destination": ".y"}, 400, "not a valid model name"),
    ("POST", "/api/copy", {"source": "m1", "destination": "y\0"}, 400, "not a valid file name"),
    ("POST", "/api/copy", {"source": "m1", "destination": "y" * 300}, 400, "longer than"),
    ("DELETE", "/api/delete", {}, 400, "model is required"),
    ("DELETE", "/api/delete", {"model": "x"}, 404, "model 'x' not found"),
    ("DELETE", "/api/delete", {"model": "../m1"}, 404, "model '../m1' not found"),
    ("DELETE", "/api/delete", {"model": "m1"}, 409, "m1.gguf is loaded"),
    ("POST", "/api/create", {"from": "m1"}, 400, "model is required"),
    ("POST", "/api/create", {"model": "x"}, 400, "neither 'from' or 'files' was specified"),
    ("POST", "/api/create", {"model": "x", "from": "y"}, 404, "model 'y' not found"),
    ("POST", "/api/create", {"model": "x", "from": "m1", "quantize": "q4_0"}, 501, "quantize"),
    ("POST", "/api/create", {"model": "x", "from": "m1", "adapters": {"a": "b"}}, 501, "adapters"),
    ("POST", "/api/create", {"model": "x", "from": "m1", "system": 1}, 400, "system: "),
    (
        "POST",
        "/api/create",
        {"model": "x", "from": "m1", "parameters": {"top_p": 2}},
        400,
        "parameters.top_p: ",
    ),
    (
        "POST",
        "/api/create",
        {"model": "x", "from": "m1", "template": "{{ .Prompt }}"},
        400,
        "templates are Jinja",
    ),
    (
        "POST",
        "/api/create",
        {"model": "x", "files": {"a": f"sha256:{ABSENT}"}},
        400,
        f"there is no blob sha256:{ABSENT}",
    ),
    ("POST", "/api/create", {"model": "x", "files": {"a": "../m1"}}, 400, "invalid digest"),
    ("POST", "/api/pull", {"model": "x", "stream": False}, 501, "downloads are not available"),
    ("POST", "/api/push", {"model": "m1"}, 501, "push is not supported"),
    ("GET", "/api/nothing", None, 404, ""),
    ("GET", "/api/show", None, 405, ""),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), FAULTS)
def test_what_is_wrong_is_told_in_ollamas_shape(
    http: httpx.Client, folder: Path, method: str, path: str, body: Any, status: int, text: str
) -> None:
    before = sorted(folder.iterdir())
    response = http.request(method, path, json=body)
    assert (response.status_code, text in error(response)) == (status, True), response.text
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
@pytest.mark.parametrize("path", ["/api/show", "/api/copy", "/api/create", "/api/pull"])
def test_a_body_that_is_no_object_is_refused(http: httpx.Client, path: str, body: bytes) -> None:
    response = http.post(path, content=body)
    assert response.status_code == 400
    assert error(response)


def test_a_stream_tells_of_a_failed_download_in_its_last_line(http: httpx.Client) -> None:
    response = post(http, "/api/pull", model="x")
    assert response.headers["content-type"] == "application/x-ndjson"
    *_, last = map(json.loads, response.text.splitlines())
    assert "downloads are not available" in last["error"]


@pytest.mark.parametrize("stream", [True, None, False])
def test_a_model_that_is_here_is_pulled_at_once(http: httpx.Client, stream: bool | None) -> None:
    response = post(http, "/api/pull", model="m1", stream=stream)
    assert response.status_code == 200
    assert json.loads(response.text.splitlines()[-1]) == {"status": "success"}


# ---------------------------------------------------------------- changed


def test_a_copy_is_a_second_name_without_a_second_file(http: httpx.Client, folder: Path) -> None:
    assert post(http, "/api/copy", source="m1", destination="m2").status_code == 200
    assert (folder / "m2.gguf").samefile(folder / "m1.gguf")
    assert listed(http)["m2:latest"]["digest"] == listed(http)["m1:latest"]["digest"]
    assert delete(http, model="m2").status_code == 200
    assert list(listed(http)) == ["m1:latest"]
    assert (folder / "m1.gguf").exists()


def test_a_model_made_from_another_answers_with_its_settings(
    live: LiveServer, http: httpx.Client
) -> None:
    made = post(
        http,
        "/api/create",
        model="m3",
        **{"from": "m1"},
        system="You are Zed.",
        parameters={"num_predict": 3, "temperature": 0, "num_ctx": 512},
        stream=False,
    )
    assert made.json() == {"status": "success"}
    assert listed(http)["m3:latest"]["details"]["parent_model"] == "m1"
    assert len({entry["digest"] for entry in listed(http).values()}) == 2
    answer = live.chat("Hi", model="m3", ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 3
    (running,) = http.get("/api/ps").json()["models"]
    assert (running["name"], running["context_length"]) == ("m3:latest", 512)
    prompt = http.post("/apply-template", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert "You are Zed." in prompt.json()["prompt"]
    own = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "Hi"}]
    prompt = http.post("/apply-template", json={"messages": own})
    assert "You are Zed." not in prompt.json()["prompt"]
    assert "system" in post(http, "/api/show", model="m3").json()["modelfile"].lower()


def test_new_settings_of_the_loaded_model_count_at_once(http: httpx.Client) -> None:
    post(http, "/api/create", model="m3", **{"from": "m1"}, system="One.")
    http.post("/setModel", json={"model_name": "m3"})
    lines = post(http, "/api/create", model="m3", **{"from": "m3"}, system="Two.").text
    assert [json.loads(line)["status"] for line in lines.splitlines()][-1] == "success"
    prompt = http.post("/apply-template", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert "Two." in prompt.json()["prompt"]


def test_a_template_that_does_not_load_leaves_the_loaded_model_as_it_was(
    http: httpx.Client,
) -> None:
    post(http, "/api/create", model="m3", **{"from": "m1"}, system="One.")
    http.post("/setModel", json={"model_name": "m3"})
    refused = post(http, "/api/create", model="m3", **{"from": "m3"}, template="{% if %}")
    assert refused.status_code == 400, refused.text
    assert error(refused)
    prompt = http.post("/apply-template", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert "One." in prompt.json()["prompt"]
    assert post(http, "/api/show", model="m3").json()["template"] != "{% if %}"


def test_an_upload_becomes_a_model(http: httpx.Client, folder: Path) -> None:
    data = (MODELS / NANO).read_bytes() + b"\0" * 32  # another file than that of the folder
    digest = hashlib.sha256(data).hexdigest()
    assert http.head(f"/api/blobs/sha256:{digest}").status_code == 404
    assert upload(http, data).status_code == 201
    assert http.head(f"/api/blobs/sha256:{digest}").status_code == 200
    assert upload(http, data).status_code == 200
    assert "up:latest" not in listed(http)
    made = post(http, "/api/create", model="up:8b", files={"any.gguf": f"sha256:{digest}"})
    assert made.status_code == 200
    assert listed(http)["up:8b"]["digest"] == digest
    assert not (folder / ".blobs").exists()
    assert http.head(f"/api/blobs/sha256:{digest}").status_code == 200


def test_an_upload_larger_than_other_bodies_may_be_is_taken(http: httpx.Client) -> None:
    assert upload(http, os.urandom(9 * 1024**2)).status_code == 201


def test_an_upload_that_is_no_model_becomes_none(http: httpx.Client, folder: Path) -> None:
    for data, text in ((b"junk" * 10, "not a valid GGUF"), (lora(folder), "is a LoRA adapter")):
        assert upload(http, data).status_code == 201
        digest = hashlib.sha256(data).hexdigest()
        refused = post(http, "/api/create", model="bad", files={"a": f"sha256:{digest}"})
        assert (refused.status_code, text in error(refused)) == (400, True), refused.text
    assert not list(folder.glob("bad*"))


def lora(folder: Path) -> bytes:
    return (folder / "lora.gguf").read_bytes()


@pytest.mark.parametrize("digest", ["x", f"sha256:{'A' * 64}", f"md5:{ABSENT}", "sha256:..%2f"])
def test_a_digest_that_is_none_is_refused(http: httpx.Client, digest: str) -> None:
    assert http.head(f"/api/blobs/{digest}").status_code == 400
    response = http.post(f"/api/blobs/{digest}", content=b"x")
    assert (response.status_code, "invalid digest format" in error(response)) == (400, True)


def test_an_upload_with_another_digest_is_refused(http: httpx.Client, folder: Path) -> None:
    response = upload(http, b"some data", ABSENT)
    assert (response.status_code, "digest mismatch" in error(response)) == (400, True)
    assert not list((folder / ".blobs").iterdir())


def test_an_upload_without_a_body_is_refused(http: httpx.Client) -> None:
    response = http.post(f"/api/blobs/sha256:{ABSENT}")
    assert (response.status_code, bool(error(response))) == (400, True)


def test_an_upload_that_is_cut_off_leaves_nothing(
    live: LiveServer, http: httpx.Client, folder: Path
) -> None:
    with live.connect() as connection:
        head = f"POST /api/blobs/sha256:{ABSENT} HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Content-Length: 99999\r\n\r\nsome".encode())
        live.wait_until(lambda: bool(list((folder / ".blobs").glob("*"))))
    live.wait_until(lambda: not list((folder / ".blobs").glob("*")))


def test_a_model_that_is_being_served_is_not_replaced(http: httpx.Client) -> None:
    data = (MODELS / NANO).read_bytes() + b"\0" * 64
    upload(http, data)
    digest = hashlib.sha256(data).hexdigest()
    refused = post(http, "/api/create", model="m1", files={"a": f"sha256:{digest}"})
    assert (refused.status_code, "m1.gguf is loaded" in error(refused)) == (409, True)


# ---------------------------------------------------------------- other servers


def test_another_port_is_listened_on_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with LiveServer("--ollama-port", str(port)) as server:
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/api/version").status_code == 200
        assert server.http.get("/api/version").status_code == 200


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(MODELS / NANO, folder / "m1.gguf")
    (folder / "m2.distiller.json").mkdir()
    (folder / ".blobs").touch()
    with LiveServer("--models-dir", str(folder)) as server:
        server.wait_healthy()
        for response in (
            post(server.http, "/api/create", model="m2", **{"from": "m1"}, system="x"),
            upload(server.http, b"data"),
        ):
            assert response.status_code == 500, response.text
            assert "cannot be written" in error(response)


def test_an_alias_is_one_more_model_and_no_file_that_can_be_deleted(tmp_path: Path) -> None:
    shutil.copy(MODELS / NANO, tmp_path / "m1.gguf")
    models = '[{"name": "m1", "aliases": ["assistant"]}]'
    with LiveServer("--models-dir", str(tmp_path), "--models", models) as server:
        server.wait_healthy()
        assert set(listed(server.http)) == {"m1:latest", "assistant:latest"}
        assert post(server.http, "/api/show", model="assistant:latest").status_code == 200
        assert delete(server.http, model="assistant").status_code == 404
