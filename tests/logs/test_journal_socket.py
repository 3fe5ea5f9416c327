"""The journal's native protocol: bytes, fields, a real socket, and what is too large for it."""

from __future__ import annotations

import array
import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from app import logs
from app.logs import journal_socket, setup
from app.logs.journal_socket import JournalSocket, encode, field_name

pytestmark = pytest.mark.usefixtures("logging_as_before")

# ---------------------------------------------------------------- bytes


def test_a_value_on_one_line_follows_an_equals_sign() -> None:
    assert encode([("MESSAGE", "grün"), ("STATUS", "200")]) == (
        b"MESSAGE=gr\xc3\xbcn\nSTATUS=200\n"
    )


def test_a_value_with_a_line_break_follows_its_length() -> None:
    assert encode([("MESSAGE", "one\ntwo"), ("A", "=")]) == (
        b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nA==\n"
    )


def test_the_length_counts_bytes_and_not_characters() -> None:
    assert encode([("M", "ü\n")]) == b"M\n\x03\0\0\0\0\0\0\0\xc3\xbc\n\n"


def test_bytes_empty_values_and_halves_of_characters_are_taken() -> None:
    assert encode([("A", b"\xff"), ("B", ""), ("C", "\udc80")]) == b"A=\xff\nB=\nC=\\udc80\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ttft_ms", "TTFT_MS"),
        ("_pid", "PID"),
        ("2nd.try", "ND_TRY"),
        ("grün", "GR_N"),
        ("x" * 80, "X" * 64),
        ("__", "FIELD"),
        ("", "FIELD"),
    ],
)
def test_names_become_ones_that_the_journal_takes(name: str, expected: str) -> None:
    assert field_name(name) == expected


# ---------------------------------------------------------------- a real socket


class Journal:
    """Receives records as journald does."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def next(self) -> dict[str, list[str]]:
        """Return the next record's fields."""
        data, descriptors = self.receive()
        data += b"".join(map(content_of, descriptors))
        fields: dict[str, list[str]] = {}
        while data:
            head, _, rest = data.partition(b"\n")
            name, equals, value = head.partition(b"=")
            if not equals:
                length = int.from_bytes(rest[:8], "little")
                value, rest = rest[8 : 8 + length], rest[9 + length :]
            fields.setdefault(name.decode(), []).append(value.decode())
            data = rest
        return fields

    def receive(self) -> tuple[bytes, list[int]]:
        """Return a datagram and the descriptors that came with it."""
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        return data, list(descriptors)


def content_of(descriptor: int) -> bytes:
    """Return all of a file and close it."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    return content


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with closing(JournalSocket(tmp_path / "socket")) as sender:
        monkeypatch.setattr(setup, "_journal", sender)
        yield tmp_path / "socket"


@pytest.fixture
def receiver(path: Path) -> Iterator[Journal]:
    made = Journal(path)
    yield made
    made.socket.close()


def test_lines_of_every_logger_arrive_as_records(
    receiver: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "journal")
    structlog.contextvars.bind_contextvars(request_id="r1")
    logs.get_logger("ours").info("request", status=200, path="/v1/models")
    found = receiver.next()
    assert found["MESSAGE"] == ["request (status=200, path=/v1/models, request_id=r1)"]
    assert (found["REQUEST_ID"], found["STATUS"], found["PRIORITY"]) == (["r1"], ["200"], ["6"])
    logging.getLogger("theirs").error("%s of %d", "one", 2)
    assert receiver.next()["MESSAGE"] == ["one of 2 (request_id=r1)"]
    assert capsys.readouterr().err == ""


def test_a_traceback_arrives_whole(receiver: Journal) -> None:
    logs.configure("info", "journal")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logs.get_logger("ours").exception("defect")
    found = receiver.next()
    assert found["PRIORITY"] == ["3"]
    assert found["MESSAGE"][0].startswith("defect\nTraceback (most recent call last):\n")
    assert found["EXCEPTION"] == ["RuntimeError: broken"]


def test_what_no_datagram_holds_travels_in_sealed_memory(receiver: Journal, path: Path) -> None:
    record = encode([("MESSAGE", "x" * 3_000_000)])
    with closing(JournalSocket(path)) as sender:
        assert sender.send(record)
    data, (descriptor,) = receiver.receive()
    seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    assert data + content_of(descriptor) == record
    for seal in (fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE, fcntl.F_SEAL_SEAL):
        assert seals & seal


@pytest.mark.parametrize(("retry_s", "is_tried"), [(0.0, True), (3600.0, False)])
def test_without_a_journal_lines_are_json_and_it_is_tried_again_later(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    retry_s: float,
    is_tried: bool,
) -> None:
    with closing(JournalSocket(tmp_path / "socket", retry_s=retry_s)) as sender:
        monkeypatch.setattr(setup, "_journal", sender)
        logs.configure("info", "journal")
        log = logs.get_logger("ours")
        log.info("first")
        assert json.loads(capsys.readouterr().err)["event"] == "first"
        came_back = Journal(tmp_path / "socket")
        log.info("second")
        assert bool(capsys.readouterr().err) != is_tried
        if is_tried:
            assert came_back.next()["EVENT"] == ["second"]
        came_back.socket.close()


def test_a_journal_that_takes_nothing_does_not_hold_the_service_up(path: Path) -> None:
    stuck = Journal(path)
    with closing(JournalSocket(path)) as sender:
        assert sum(sender.send(b"MESSAGE=x\n") for _ in range(5000)) < 5000
    stuck.socket.close()


# ---------------------------------------------------------------- when it is chosen


def test_stderr_is_the_journals_where_device_and_inode_are_the_named_ones() -> None:
    reader, writer = os.pipe()
    found = os.fstat(writer)
    stream = f"{found.st_dev}:{found.st_ino}"
    assert journal_socket.is_stderr({"JOURNAL_STREAM": stream}, writer)
    assert not journal_socket.is_stderr({"JOURNAL_STREAM": f"{found.st_dev}:1"}, writer)
    assert not journal_socket.is_stderr({"JOURNAL_STREAM": "nonsense"}, writer)
    assert not journal_socket.is_stderr({}, writer)
    os.close(reader)
    os.close(writer)
    assert not journal_socket.is_stderr({"JOURNAL_STREAM": stream}, writer)


@pytest.mark.parametrize("is_journal", [True, False])
def test_auto_takes_the_journal_where_stderr_leads_there(tmp_path: Path, is_journal: bool) -> None:
    receiver = Journal(tmp_path / "socket")
    code = (
        "import sys; from pathlib import Path; from app import logs;"
        "from app.logs import journal_socket, setup;"
        "setup._journal = journal_socket.JournalSocket(Path(sys.argv[1]));"
        "logs.configure('info'); logs.get_logger('t').info('hello', n=1)"
    )
    with (tmp_path / "stderr").open("w") as stderr:
        found = os.fstat(stderr.fileno())
        stream = f"{found.st_dev}:{found.st_ino}" if is_journal else "1:1"
        environment: dict[str, Any] = {**os.environ, "JOURNAL_STREAM": stream}
        command = [sys.executable, "-c", code, str(tmp_path / "socket")]
        subprocess.run(command, check=True, stderr=stderr, env=environment, timeout=60)
    text = (tmp_path / "stderr").read_text()
    if is_journal:
        assert receiver.next()["MESSAGE"] == ["hello (n=1)"]
        assert text == ""
    else:
        assert json.loads(text)["event"] == "hello"
    receiver.socket.close()
