"""Owns the requests that real clients sent: reading them, and what cannot be answered yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "clients"
# Of a request's own connection.
_NOT_SENT = {"connection", "content-length", "host", "transfer-encoding"}
_EMBEDDINGS = "the service has no embeddings"
# Whatever is answered with an error, by method and path: status, and why.
REFUSED: dict[tuple[str, str], tuple[int, str]] = {
    ("GET", "/v1/responses"): (405, "a WebSocket, which Codex gives up after this status"),
    ("POST", "/api/embed"): (501, _EMBEDDINGS),
    ("POST", "/api/embeddings"): (501, _EMBEDDINGS),
    ("POST", "/v1/embeddings"): (501, _EMBEDDINGS),
    ("POST", "/v1/rerank"): (501, "the service does not rank"),
}
# … and by the name of the file.
_NO_THREAD = "it goes on with a message that is not here"
REFUSED_FILES: dict[str, tuple[int, str]] = {
    "anthropic-python-2.14.0-08": (404, _NO_THREAD),
    "ollama-python-0.6.3-09": (400, "an image, which no model here sees"),
}


@dataclass(frozen=True)
class Recorded:
    """A request that a client sent."""

    name: str
    method: str
    target: str
    headers: dict[str, str]
    content: bytes | None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def dialect(self) -> str:
        """Which of the clients' dialects it belongs to, in the words of `roster.MISSING`."""
        if self.path.startswith("/v1/messages"):
            return "anthropic"
        if self.path.startswith("/v1/responses"):
            return "responses"
        if self.path in ("/api/chat", "/api/generate"):
            return "ollama"
        return "catalogue" if self.path.startswith("/api/") else "chat"

    @property
    def refusal(self) -> tuple[int, str] | None:
        """The status that it gets and why, where it cannot be answered."""
        return REFUSED_FILES.get(self.name) or REFUSED.get((self.method, self.path))


def read(file: Path) -> Recorded:
    """Return the request in a file."""
    told: dict[str, Any] = json.loads(file.read_text("utf-8"))
    body, query = told["body"], told["query"]
    return Recorded(
        name=file.stem,
        method=told["method"],
        target=told["path"] + (f"?{query}" if query else ""),
        headers={k: v for k, v in told["headers"].items() if k.lower() not in _NOT_SENT},
        content=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
    )


def recorded() -> list[Recorded]:
    """Return all of them; none where the folder is absent."""
    return [read(file) for file in sorted(FOLDER.glob("*.json"))]


def errors_in(body: str) -> Iterator[str]:
    """Yield the lines of a stream, in any dialect, that tell of an error."""
    for line in body.splitlines():
        text = line.removeprefix("data: ")
        if not text.startswith("{"):
            continue
        told = json.loads(text)
        failed = told.get("type") in ("error", "response.failed")
        if failed or (told.get("error") and "object" not in told):
            yield line
