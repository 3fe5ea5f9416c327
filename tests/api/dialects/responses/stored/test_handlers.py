"""Stored and background responses over HTTP, on the real service with engines that only pretend.

Covers `app.api.dialects.responses.stored.history` too, and
`app.api.dialects.responses.stored.background`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from sanic import Request

from app.answer_store.store import FILE_NAME
from app.api.dialects.responses.stored.handlers import _send
from app.api.streaming.detached import MAX_ANSWERS
from tests.api.dialects.responses.stream_order import StreamOrder, events_of
from tests.live.server import LiveServer
from tests.models.gguf_files import write_llama

KEYS = {"kitchen": "k" * 16, "garage": "g" * 16}
PATH = "/v1/responses"


class Service(LiveServer):
    """The real service with engines that only pretend; asked with the key of the kitchen."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._notes = folder / "notes"
        write_llama(folder / "first.gguf")
        (folder / "keys").write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
        super().__init__(
            *("--models-dir", str(folder), "--cache-dir", str(folder / "cache")),
            *("--model-name", "first.gguf", "--sse-ping-s", "0.02"),
            *("--api-keys-file", str(folder / "keys"), *arguments),
            command=("-m", "tests.api.fake_service", "serve"),
            environment={"FAKE_ENGINE_NOTES": str(self._notes)},
        )
        self.http.headers["x-api-key"] = KEYS["kitchen"]

    def post(self, order: Any = "Hi", **fields: Any) -> httpx.Response:
        return self.http.post(PATH, json={"input": order, **fields})

    def ask(self, order: Any = "Hi", **fields: Any) -> dict[str, Any]:
        response = self.post(order, **fields)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def get(self, response_id: str, **query: Any) -> httpx.Response:
        return self.http.get(f"{PATH}/{response_id}", params=query)

    def events(self, response_id: str, **query: Any) -> list[dict[str, Any]]:
        response = self.get(response_id, stream="true", **query)
        assert response.status_code == 200
        return events_of(response.content) if response.content else []

    def messages(self) -> list[Any]:
        """Return the messages of the latest prompt."""
        told = [json.loads(line) for line in self._notes.read_text().splitlines()]
        latest = [each for each in told if each["type"] == "Generate"][-1]
        found: list[Any] = json.loads(base64.b64decode(latest["messages"]))
        return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("stored") / "models") as service:
        service.wait_healthy()
        yield service


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def code(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


# ---------------------------------------------------------------- going on


def test_a_request_goes_on_from_the_responses_before_it(live: Service) -> None:
    first = live.ask("Hi", instructions="Be brief.", metadata={"x": "y"})
    assert first["store"] is True
    second = live.ask([{"role": "user", "content": "Why?"}], previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    live.ask("So?", previous_response_id=second["id"], instructions="Be kind.")
    assert [(each["role"], each["content"]) for each in live.messages()] == [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hi"),
        ("user", "Why?"),
        ("assistant", "Hi"),
        ("user", "So?"),
    ]


def test_a_result_goes_on_from_the_call_before_it(live: Service) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    first = live.ask([{"role": "user", "content": "Hi"}, call])
    live.ask(
        [{"type": "function_call_output", "call_id": "c1", "output": "found"}],
        previous_response_id=first["id"],
    )
    roles = [each["role"] for each in live.messages()]
    assert roles[-1] == "tool"
    assert live.messages()[1]["tool_calls"][0]["id"] == "c1"


def test_no_input_goes_on_too(live: Service) -> None:
    first = live.ask()
    response = live.http.post(PATH, json={"previous_response_id": first["id"]})
    assert response.status_code == 200
    assert len(live.messages()) == 2


def test_a_reference_stands_for_a_stored_item(live: Service) -> None:
    first = live.ask([{"role": "user", "content": "Once", "id": "msg_mine"}])
    made = first["output"][0]["id"]
    live.ask([{"type": "item_reference", "id": "msg_mine"}, {"id": made}])
    said = [(each["role"], each["content"]) for each in live.messages()]
    assert said == [("user", "Once"), ("assistant", "Hi")]
    refused = live.post([{"type": "item_reference", "id": "msg_unheard_of"}])
    assert code(refused) == (400, "item_not_found", "input[0]")


def test_tokens_are_counted_with_what_went_before(live: Service) -> None:
    first = live.ask()
    body = {"input": "So?", "previous_response_id": first["id"]}
    assert live.http.post(f"{PATH}/input_tokens", json=body).status_code == 200
    refused = live.http.post(f"{PATH}/input_tokens", json=body | {"previous_response_id": "x"})
    assert code(refused)[:2] == (400, "previous_response_not_found")


def test_a_chain_that_lacks_a_response_names_it(live: Service) -> None:
    first = live.ask()
    second = live.ask(previous_response_id=first["id"])
    assert live.http.delete(f"{PATH}/{first['id']}").status_code == 200
    refused = live.post(previous_response_id=second["id"])
    assert code(refused) == (400, "previous_response_not_found", "previous_response_id")
    assert first["id"] in refused.json()["error"]["message"]


def test_what_is_not_to_be_stored_is_not(live: Service) -> None:
    for stream in (True, False):
        response = live.post(store=False, stream=stream)
        body = events_of(response.content)[-1]["response"] if stream else response.json()
        assert body["store"] is False
        assert live.get(body["id"]).status_code == 404


# ---------------------------------------------------------------- what is stored


def test_a_stored_response_is_what_the_client_got(live: Service) -> None:
    body = live.ask()
    assert live.get(body["id"]).json() == body
    events = events_of(live.post(stream=True).content)
    whole = events[-1]["response"]
    assert live.get(whole["id"]).json() == whole
    for after in range(-1, len(events)):
        assert (
            live.events(whole["id"], starting_after=after if after >= 0 else "")
            == (events[after + 1 :])
        )


def test_what_was_not_streamed_is_streamed_in_one_piece(live: Service) -> None:
    body = live.ask()
    assert StreamOrder().take_all(live.events(body["id"])) == body


def test_an_answer_that_fails_midway_is_not_stored(live: Service, fifo: Path) -> None:
    body = {"input": f"break {fifo}", "stream": True}
    with live.http.stream("POST", PATH, json=body) as response:
        received = response.iter_raw()
        data = next(received)
        fifo.write_bytes(b"")
        failed = events_of(data + b"".join(received))[-1]["response"]
    assert (failed["status"], failed["store"]) == ("failed", False)
    assert live.get(failed["id"]).status_code == 404


def test_input_items_are_listed(live: Service) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(3)]
    body = live.ask(items)
    path = f"{PATH}/{body['id']}/input_items"
    page = live.http.get(path, params={"order": "asc", "limit": 2}).json()
    assert [each["content"][0]["text"] for each in page["data"]] == ["0", "1"]
    rest = live.http.get(path, params={"order": "asc", "after": page["last_id"]}).json()
    assert [each["content"][0]["text"] for each in rest["data"]] == ["2"]
    assert live.http.get(path, params={"limit": "many"}).status_code == 400


def test_a_deleted_response_is_gone(live: Service) -> None:
    body = live.ask()
    deleted = live.http.delete(f"{PATH}/{body['id']}")
    assert deleted.json() == {"id": body["id"], "object": "response", "deleted": True}
    assert live.get(body["id"]).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "?stream=true"),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/input_items"),
    ],
)
def test_a_response_exists_for_its_key_only(live: Service, method: str, path: str) -> None:
    for response_id in (live.ask()["id"], "resp_unheard_of"):
        refused = live.http.request(
            method, f"{PATH}/{response_id}{path}", headers={"x-api-key": KEYS["garage"]}
        )
        assert code(refused) == (404, "not_found", "response_id")
        assert refused.json()["error"]["type"] == "invalid_request_error"
    headers = {"x-api-key": KEYS["garage"]}
    for body in ({"previous_response_id": live.ask()["id"]}, {"input": [{"id": "msg_mine"}]}):
        assert live.http.post(PATH, json=body, headers=headers).status_code == 400


async def test_a_long_stream_is_sent_again_in_pieces() -> None:
    pieces: list[bytes] = []

    async def send(data: bytes, _is_end: bool | None = None) -> None:
        pieces.append(data)

    async def respond(**_: Any) -> Any:
        return SimpleNamespace(send=send)

    config = SimpleNamespace(REQUEST_TIMEOUT=60.0)
    made = SimpleNamespace(
        app=SimpleNamespace(config=config), ctx=SimpleNamespace(), respond=respond, transport=None
    )
    data = bytes(range(256)) * 1000
    await _send(cast(Request, made), data)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 64 * 1024


def test_a_wrong_place_in_a_stream_is_refused(live: Service) -> None:
    refused = live.get(live.ask()["id"], stream="true", starting_after="-3")
    assert code(refused) == (400, "invalid_value", "starting_after")


def test_responses_outlive_the_service_and_belong_to_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with Service(folder) as first:
        first.wait_healthy()
        body = first.ask()
    path = folder / "cache" / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    with Service(folder) as second:
        second.wait_healthy()
        assert second.get(body["id"]).json() == body
        second.ask("Why?", previous_response_id=body["id"])
        assert len(second.messages()) == 3
    path.write_bytes(b"damage" * 1000)
    with Service(folder) as third:
        third.wait_healthy()
        assert third.get(body["id"]).status_code == 404
        assert third.wait_for_log("answer_store_damaged")["level"] == "error"
        assert third.ask()["store"] is True


def test_without_room_nothing_is_stored_and_all_is_answered(tmp_path: Path) -> None:
    with Service(tmp_path / "models", "--responses-max-mb", "0") as service:
        service.wait_healthy()
        body = service.ask()
        assert body["store"] is False
        assert service.get(body["id"]).status_code == 404
        assert code(service.post(background=True)) == (400, "invalid_value", "background")
        assert not (tmp_path / "models" / "cache" / FILE_NAME).exists()


def test_a_disk_that_takes_nothing_keeps_no_answer_from_its_client(tmp_path: Path) -> None:
    with Service(tmp_path / "models") as service:
        service.wait_healthy()
        (service.folder / "cache" / FILE_NAME).mkdir(parents=True)
        for stream in (True, False):
            response = service.post(stream=stream)
            body = events_of(response.content)[-1]["response"] if stream else response.json()
            assert (body["status"], body["store"]) == ("completed", False)
        assert len(service.log("answer_store_unavailable")) == 1


# ---------------------------------------------------------------- in the background


def test_a_background_response_is_answered_at_once_and_completes(live: Service, fifo: Path) -> None:
    begun = live.ask(f"wait {fifo}", background=True)
    assert (begun["status"], begun["background"], begun["output"]) == ("in_progress", True, [])
    assert live.get(begun["id"]).json()["status"] == "in_progress"
    refused = live.post("Why?", previous_response_id=begun["id"])
    assert code(refused)[1] == "previous_response_in_progress"
    fifo.write_bytes(b"")
    live.wait_until(lambda: live.get(begun["id"]).json()["status"] == "completed")
    body = live.get(begun["id"]).json()
    assert body["output"][0]["content"][0]["text"] == "Hi"
    assert StreamOrder().take_all(live.events(begun["id"])) == body


def test_its_stream_is_followed_from_any_event_on(live: Service, fifo: Path) -> None:
    body = {"input": f"wait {fifo}", "background": True, "stream": True}
    received = b""
    with live.http.stream("POST", PATH, json=body) as response:
        for data in response.iter_raw():
            received += data
            if b'"delta":"Hi"' in received and received.endswith(b"\n\n"):
                break
    events = events_of(received)
    response_id = events[0]["response"]["id"]
    url = f"{PATH}/{response_id}"
    query = {"stream": "true", "starting_after": str(events[-1]["sequence_number"])}
    with live.http.stream("GET", url, params=query) as response:
        fifo.write_bytes(b"")
        events += events_of(response.read())
    whole = StreamOrder().take_all(events)
    assert whole == live.get(response_id).json()
    assert live.events(response_id) == events


def test_a_background_response_is_cancelled_and_keeps_what_it_has(
    live: Service, fifo: Path
) -> None:
    begun = live.ask(f"wait {fifo}", background=True)
    events_url = {"stream": "true"}
    with live.http.stream("GET", f"{PATH}/{begun['id']}", params=events_url) as response:
        received = response.iter_raw()
        while b'"delta":"Hi"' not in next(received):
            pass
    cancelled = live.http.post(f"{PATH}/{begun['id']}/cancel")
    fifo.write_bytes(b"")
    body = cancelled.json()
    assert (body["status"], body["output"][0]["content"][0]["text"]) == ("cancelled", "Hi")
    assert live.get(begun["id"]).json() == body
    assert live.http.post(f"{PATH}/{begun['id']}/cancel").json() == body


def test_only_a_background_response_can_be_cancelled(live: Service) -> None:
    refused = live.http.post(f"{PATH}/{live.ask()['id']}/cancel")
    assert code(refused) == (400, "invalid_value", "response_id")


def test_one_that_fails_says_why(live: Service, fifo: Path) -> None:
    begun = live.ask(f"break {fifo}", background=True)
    fifo.write_bytes(b"")
    live.wait_until(lambda: live.get(begun["id"]).json()["status"] == "failed")
    body = live.get(begun["id"]).json()
    assert body["error"]["message"] == "no such role"
    refused = live.post("refuse", background=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "chat_template_error")


def test_one_that_is_deleted_ends(live: Service, fifo: Path) -> None:
    begun = live.ask(f"wait {fifo}", background=True)
    assert live.http.delete(f"{PATH}/{begun['id']}").status_code == 200
    fifo.write_bytes(b"")
    assert live.get(begun["id"]).status_code == 404


def test_it_has_one_log_line_with_its_tokens(live: Service, fifo: Path) -> None:
    headers = {"X-Request-ID": "in-the-background"}
    body = {"input": f"wait {fifo}", "background": True}
    assert live.http.post(PATH, json=body, headers=headers).status_code == 200
    fifo.write_bytes(b"")
    line = live.wait_for_log("request", request_id="in-the-background")
    assert (line["status"], line["completion_tokens"], line["key_name"]) == (200, 1, "kitchen")


def test_one_that_the_service_ended_has_failed(tmp_path: Path, fifo: Path) -> None:
    folder = tmp_path / "models"
    with Service(folder) as service:
        service.wait_healthy()
        begun = service.ask(f"wait {fifo}", background=True)
        service.kill()
    fifo.unlink()
    with Service(folder) as service:
        service.wait_healthy()
        body = service.get(begun["id"]).json()
        assert (body["status"], body["error"]["code"]) == ("failed", "server_error")
        assert StreamOrder().take_all(service.events(begun["id"])) == body


def test_no_more_run_than_there_is_room_for(live: Service, fifo: Path) -> None:
    orders = [f"wait {fifo}", *["Hi"] * (MAX_ANSWERS - 1)]
    begun = [live.ask(order, background=True) for order in orders]
    refused = live.post(background=True)
    assert code(refused)[:2] == (429, "too_many_background_responses")
    assert refused.headers["retry-after"] == "1"
    for each in begun:
        assert live.http.post(f"{PATH}/{each['id']}/cancel").status_code == 200
    fifo.write_bytes(b"")


def test_a_lost_stream_with_a_name_is_followed_by_its_id(live: Service, fifo: Path) -> None:
    body, headers = {"input": f"wait {fifo}", "stream": True}, {"X-Conversation-Id": "mine"}
    received = b""
    with live.http.stream("POST", PATH, json=body, headers=headers) as response:
        for data in response.iter_raw():
            received += data
            if b'"delta":"Hi"' in received and received.endswith(b"\n\n"):
                break
    events = events_of(received)
    response_id = events[0]["response"]["id"]
    assert live.get(response_id).json()["status"] == "in_progress"
    query = {"stream": "true", "starting_after": str(events[-1]["sequence_number"])}
    with live.http.stream("GET", f"{PATH}/{response_id}", params=query) as response:
        fifo.write_bytes(b"")
        events += events_of(response.read())
    assert StreamOrder().take_all(events) == live.get(response_id).json()
