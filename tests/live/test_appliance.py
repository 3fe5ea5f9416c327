"""What the service does with what systemd and the kernel tell it."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from pathlib import Path

from app.api.schemas.service import HealthResponse
from tests.live.server import LiveServer


def test_health_and_metrics_tell_of_the_device(server: LiveServer) -> None:
    health = HealthResponse.model_validate(server.health)
    assert health.warnings == []
    total_bytes = health.device.memory_total_bytes
    assert total_bytes is not None
    assert 0 < (health.device.memory_available_bytes or 0) <= total_bytes
    assert "distiller_llm_device_memory_bytes " in server.http.get("/metrics").text


def test_where_memory_is_short_idle_conversations_leave_it(tmp_path: Path) -> None:
    path = tmp_path / "pressure"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    environment = {
        "MEMORY_PRESSURE_WATCH": str(path),
        "MEMORY_PRESSURE_WRITE": base64.b64encode(b"some 200000 2000000").decode(),
    }
    with LiveServer(environment=environment) as live, listener:
        live.wait_healthy()
        manager, _ = listener.accept()
        assert manager.recv(100) == b"some 200000 2000000"
        live.chat("What is the capital of France?", max_tokens=8)
        live.wait_until(lambda: memory_bytes(live) > 0)
        manager.sendall(b"!")
        line = live.wait_for_log("memory_pressure")
        assert (line["freed_entries"], line["freed_bytes"] > 0) == (1, True)
        assert memory_bytes(live) == 0
        assert live.chat("What is the capital of France?", max_tokens=8)["choices"]
        manager.close()


def memory_bytes(live: LiveServer) -> int:
    """Return what idle conversations take outside the KV cache."""
    n_bytes: int = live.http.get("/cache").json()["tiers"]["memory"]["bytes"]
    return n_bytes


def test_where_memory_ends_the_kernel_ends_the_engine_first(server: LiveServer) -> None:
    assert oom_score_adj(server.engine_pid) > oom_score_adj("self")


def oom_score_adj(pid: int | str) -> int:
    """Return what the kernel adds to a process's score before it ends the highest."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_limits_for_systemd_are_printed_alone_on_stdout() -> None:
    command = [sys.executable, "-m", "app", "recommend-memory"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    high, most = found.stdout.splitlines()
    assert int(high.removeprefix("MemoryHigh=")) <= int(most.removeprefix("MemoryMax="))
    assert "distiller-nano-3m-q8_0.gguf needs about" in found.stderr


def test_limits_are_printed_without_the_model_too() -> None:
    command = [sys.executable, "-m", "app", "recommend-memory", "--model-name", "missing.gguf"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(found.stdout.splitlines()) == 2
    assert "the model cannot be read: Model 'missing.gguf' not found" in found.stderr
