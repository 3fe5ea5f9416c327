"""The service under systemd, as far as a process sees it: sockets, notifications, the watchdog."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.server import MODELS, NANO, SERVE, LiveServer
from tests.systemd.fake_systemd import FakeSystemd, handing_over, tcp_listener, unix_listener


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeSystemd]:
    abstract = f"@distiller-test-{secrets.token_hex(8)}"
    with FakeSystemd(tmp_path / "notify" if request.param == "path" else abstract) as made:
        yield made


@pytest.fixture
def quiet_systemd(tmp_path: Path) -> Iterator[FakeSystemd]:
    with FakeSystemd(tmp_path / "notify") as made:
        yield made


def over(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x")


# ---------------------------------------------------------------- sockets


def test_every_socket_that_was_handed_over_is_served_and_none_else(tmp_path: Path) -> None:
    path = tmp_path / "service.sock"
    with tcp_listener() as tcp, unix_listener(path) as unix:
        fds = (tcp.fileno(), unix.fileno())
        command = (*handing_over(tcp, unix), *SERVE)
        with LiveServer(command=command, pass_fds=fds) as live:
            live.wait_healthy()
            port = tcp.getsockname()[1]
            urls = [line["url"] for line in live.log("listening")]
            assert urls == [f"http://127.0.0.1:{port}", f"unix:{path}"]
            with over(path) as client:
                answer = client.post("/tokenize", json={"content": "Hello"})
                assert (
                    answer.json() == live.http.post("/tokenize", json={"content": "Hello"}).json()
                )


def test_a_client_that_comes_between_two_instances_waits_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "service.sock"
    with tcp_listener() as tcp, unix_listener(path) as unix:
        fds = (tcp.fileno(), unix.fileno())
        command = (*handing_over(tcp, unix), *SERVE)
        first = LiveServer(command=command, pass_fds=fds).wait_healthy()
        assert first.stop() == 0
        assert stat.S_ISSOCK(path.lstat().st_mode)
        with socket.create_connection(tcp.getsockname()) as early:
            early.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with LiveServer(command=command, pass_fds=fds):
                assert early.recv(4096).startswith(b"HTTP/1.1 200")


def test_what_is_handed_over_and_no_listening_socket_is_left_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, tcp_listener() as tcp:
        command = (*handing_over(other, tcp), *SERVE)
        with LiveServer(command=command, pass_fds=(other.fileno(), tcp.fileno())) as live:
            assert live.url.endswith(str(tcp.getsockname()[1]))
            assert live.wait_for_log("handed_fd_not_served")["fd"] == 3


def test_the_engine_gets_nothing_of_what_systemd_said(quiet_systemd: FakeSystemd) -> None:
    with tcp_listener() as tcp:
        environment = {**quiet_systemd.environment, "WATCHDOG_USEC": "60000000"}
        command = (*handing_over(tcp), *SERVE)
        with LiveServer(command=command, pass_fds=(tcp.fileno(),), environment=environment) as live:
            engine = Path("/proc") / str(live.wait_healthy().engine_pid)
            variables = (engine / "environ").read_bytes()
            inode = os.fstat(tcp.fileno()).st_ino
            open_files = [str(fd.readlink()) for fd in (engine / "fd").iterdir()]
    assert not any(word in variables for word in (b"LISTEN_", b"NOTIFY_", b"WATCHDOG_"))
    assert f"socket:[{inode}]" not in open_files


def test_a_unix_socket_of_our_own_is_for_the_group_and_goes_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "own.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with LiveServer("--unix-socket", str(path)) as live:
        assert path.stat().st_mode & 0o777 == 0o660
        with over(path) as client:
            assert client.get("/health/live").json() == live.http.get("/health/live").json()
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["file", "served"])
def test_a_unix_socket_takes_the_place_of_nothing_that_is_in_use(tmp_path: Path, what: str) -> None:
    path = tmp_path / "own.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if what == "served":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("precious")
        with pytest.raises(AssertionError, match="cannot_listen"):
            LiveServer("--unix-socket", str(path))
        assert path.exists()


# ---------------------------------------------------------------- ready, status, stopping


def test_it_is_ready_when_the_model_serves_and_says_which(systemd: FakeSystemd) -> None:
    with LiveServer(environment=systemd.environment) as live:
        ready = systemd.wait_for_key("READY")
        assert live.health["status"] == "ok"
        assert ready["STATUS"].startswith(f"Serving {NANO}")
        live.stop()
        assert systemd.wait_for_key("STOPPING")["STATUS"]
    assert systemd.statuses[0].startswith(f"Model {NANO} is being loaded")


def test_it_is_ready_without_a_model_and_says_so(
    quiet_systemd: FakeSystemd, tmp_path: Path
) -> None:
    empty = tmp_path / "models"
    empty.mkdir()
    with LiveServer("--models-dir", str(empty), environment=quiet_systemd.environment) as live:
        assert "No model" in quiet_systemd.wait_for_key("READY")["STATUS"]
        assert live.http.get("/health/live").status_code == 200


def test_a_broken_model_file_keeps_the_service_up_and_is_named(
    quiet_systemd: FakeSystemd, tmp_path: Path
) -> None:
    broken = tmp_path / "models" / "broken.gguf"
    broken.parent.mkdir()
    broken.write_bytes((MODELS / NANO).read_bytes()[:200_000])
    options = ("--models-dir", str(broken.parent))
    with LiveServer(*options, environment=quiet_systemd.environment) as live:
        assert "broken.gguf" in quiet_systemd.wait_for_key("READY")["STATUS"]
        assert live.health["status"] == "error"
        assert live.process.poll() is None


def test_profiles_are_restored_before_it_is_ready(
    quiet_systemd: FakeSystemd, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[profiles]]\nname = "kitchen"\nmessages = [{role = "system", content = "Be brief."}]\n'
    )
    options = ("--config", str(config))
    with LiveServer(*options, environment=quiet_systemd.environment) as live:
        assert "1 of 1 profiles" in quiet_systemd.wait_for_key("READY")["STATUS"]
        assert live.health["profiles"][0]["state"] == "ready"


def test_a_restart_of_the_engine_is_told(quiet_systemd: FakeSystemd) -> None:
    with LiveServer(environment=quiet_systemd.environment) as live:
        quiet_systemd.wait_for_key("READY")
        os.kill(live.engine_pid, signal.SIGSTOP)
        os.kill(live.engine_pid, signal.SIGKILL)
        live.wait_until(lambda: live.health["engine"]["restarts"] == 1)
        live.wait_healthy()
        assert live.process.poll() is None


# ---------------------------------------------------------------- watchdog


def test_the_watchdog_is_fed_again_and_again(quiet_systemd: FakeSystemd) -> None:
    environment = {**quiet_systemd.environment, "WATCHDOG_USEC": "1000000"}
    with LiveServer(environment=environment) as live:
        live.wait_healthy()
        live.wait_until(lambda: len(quiet_systemd.times_of("WATCHDOG")) >= 6)


def test_a_service_that_hangs_feeds_no_watchdog(quiet_systemd: FakeSystemd) -> None:
    environment = {**quiet_systemd.environment, "WATCHDOG_USEC": "400000"}
    with LiveServer(environment=environment) as live:
        live.wait_healthy()
        live.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # what was on its way has arrived
        fed = len(quiet_systemd.times_of("WATCHDOG"))
        time.sleep(1.0)
        assert len(quiet_systemd.times_of("WATCHDOG")) == fed
        live.process.send_signal(signal.SIGCONT)


def test_an_engine_under_repair_does_not_starve_the_watchdog(quiet_systemd: FakeSystemd) -> None:
    environment = {**quiet_systemd.environment, "WATCHDOG_USEC": "400000"}
    with LiveServer("--engine-timeout-s", "1", environment=environment) as live:
        live.wait_healthy()
        pid = live.engine_pid
        os.kill(pid, signal.SIGSTOP)
        began_s = time.monotonic()
        assert live.chat("Hi", max_tokens=4)["choices"], "by the engine after it"
        live.wait_healthy()
        times = [at_s for at_s in quiet_systemd.times_of("WATCHDOG") if at_s > began_s]
    assert len(times) >= 3
