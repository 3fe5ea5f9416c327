"""A client that runs inside the machine, with the standard library of its Python only.

client.py ask tcp|unix           print the answer to one question
client.py load SECONDS LEAST     ask all the time, whole and streamed, and until LEAST are answered;
                                 print the outcomes
client.py broken engine|service  kill that process in the middle of a stream; print the end
client.py alive SECONDS          ask all the time whether the server turns; print the outcomes
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

ADDRESS = ("127.0.0.1", 8000)
SOCKET = "/run/distiller-llm.sock"
PATIENCE_S = 90 * int(os.environ.get("PATIENCE", "1"))
QUESTION = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 16,
}
STORY = {
    "messages": [{"role": "user", "content": "Tell me a story."}],
    "stream": True,
    "ignore_eos": True,
    "max_tokens": 300,
}


class UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def connection(kind: str = "tcp") -> http.client.HTTPConnection:
    if kind == "unix":
        return UnixConnection("localhost", timeout=PATIENCE_S)
    return http.client.HTTPConnection(*ADDRESS, timeout=PATIENCE_S)


def post(
    body: dict[str, Any], kind: str = "tcp", request_id: str | None = None
) -> http.client.HTTPResponse:
    link = connection(kind)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if request_id:
        headers["X-Request-ID"] = request_id
    link.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return link.getresponse()


def ask(kind: str) -> str:
    answer = post(QUESTION, kind)
    text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text}")
    return str(json.loads(text)["choices"][0]["message"]["content"])


def complaint(answer: http.client.HTTPResponse) -> str:
    """Return the status and the code of the error, such as `status 503 model_loading`."""
    try:
        error = json.loads(answer.read())["error"]
        return f"status {answer.status} {error.get('code') or error.get('type')}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {answer.status}"


def events(answer: http.client.HTTPResponse) -> Iterator[str]:
    for line in answer:
        if line.startswith(b"data: "):
            yield line[6:].decode().strip()


def outcome_of_whole() -> str:
    try:
        answer = post(QUESTION)
        if answer.status != 200:
            return complaint(answer)
        answer.read()
    except ConnectionRefusedError:
        return "refused"
    except (OSError, http.client.HTTPException) as error:
        return f"broken: {type(error).__name__}"
    return "complete"


def outcome_of_stream() -> str:
    try:
        answer = post(STORY)
        if answer.status != 200:
            return complaint(answer)
        last = ""
        for event in events(answer):
            last = event
    except ConnectionRefusedError:
        return "refused"
    except (OSError, http.client.HTTPException) as error:
        return f"broken: {type(error).__name__}"
    return "complete" if last == "[DONE]" else f"ended with {last[:60]!r}"


def load(seconds: float, least: int) -> None:
    """Print how many requests and streams were complete, refused, put off, broken."""
    until = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    longest = [0.0]

    def go(name: str, outcome: Any) -> None:
        while time.monotonic() < until or counts.total() < least:
            started = time.monotonic()
            counts[f"{name} {outcome()}"] += 1
            longest[0] = max(longest[0], time.monotonic() - started)
            time.sleep(0.02)

    threads = [
        threading.Thread(target=go, args=job)
        for job in [("request", outcome_of_whole)] * 2 + [("stream", outcome_of_stream)] * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = {"request complete", "stream complete"}
    print(json.dumps({**counts, "longest_s": round(longest[0], 2)}, sort_keys=True))
    sys.exit(0 if good == set(counts) else 1)


def process_of(name: str) -> int:
    """Return the process id of the service's main process, or of its engine."""
    shown = ["systemctl", "show", "-P", "MainPID", "distiller-llm.service"]
    main = int(subprocess.run(shown, check=True, capture_output=True).stdout)
    if name == "service":
        return main
    children = ["pgrep", "-P", str(main), "-f", "app.engine.main"]
    return int(subprocess.run(children, check=True, capture_output=True).stdout)


def broken(name: str) -> None:
    """Kill a process in the middle of a stream, then wait for the next good answer.

    A stream outlives its engine, and ends with the main process.
    """
    stream = events(post(STORY | {"max_tokens": 2000}, request_id=f"broken-{name}"))
    for _ in range(5):
        next(stream)
    os.kill(process_of(name), signal.SIGKILL)
    at = time.monotonic()
    last, end = "", "the stream ended"
    pause_s, heard = 0.0, at
    try:
        for event in stream:
            last, pause_s, heard = event, max(pause_s, time.monotonic() - heard), time.monotonic()
            if '"error"' in event:
                end = f"the stream ended with {event[:80]}"
    except (OSError, http.client.HTTPException) as error:
        end = f"the connection broke ({type(error).__name__})"
    is_whole = last == "[DONE]" and end == "the stream ended"
    if is_whole:
        end = f"the stream paused for {pause_s:.2f} s and went on to its end"
    meanwhile: Counter[str] = Counter()
    while (outcome := outcome_of_whole()) != "complete":
        meanwhile[outcome] += 1
        if time.monotonic() - at > PATIENCE_S:
            raise SystemExit(f"the service did not come back; meanwhile {dict(meanwhile)}")
        time.sleep(0.05)
    again = "" if is_whole else f"; good answers again after {time.monotonic() - at:.1f} s"
    print(f"{end}{again}; meanwhile {dict(meanwhile)}")
    if "refused" in meanwhile or is_whole != (name == "engine"):
        sys.exit(1)


def alive(seconds: float) -> None:
    """Print how often `/health/live` answered, how often not, and the longest wait."""
    until = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    longest_s = 0.0
    while time.monotonic() < until:
        started = time.monotonic()
        try:
            link = connection()
            link.request("GET", "/health/live")
            counts[f"status {link.getresponse().status}"] += 1
            link.close()
        except (OSError, http.client.HTTPException) as error:
            counts[type(error).__name__] += 1
        longest_s = max(longest_s, time.monotonic() - started)
        time.sleep(0.1)
    print(json.dumps({**counts, "longest_s": round(longest_s, 2)}, sort_keys=True))
    sys.exit(0 if {"status 200"} == set(counts) else 1)


def main(command: str, argument: str, least: str = "0") -> None:
    if command == "ask":
        print(ask(argument))
    elif command == "load":
        load(float(argument), int(least))
    elif command == "alive":
        alive(float(argument))
    else:
        broken(argument)


if __name__ == "__main__":
    main(*sys.argv[1:])
