"""Owns the conditions of the cache benchmark: models, texts, and the servers that scenarios use."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scripts.benchmark.chat import random_text
from scripts.benchmark.console import BenchFailed
from scripts.benchmark.disk_folder import disk_folder
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.llama_bench import llama_program
from scripts.benchmark.peer_server import LlamaServer, llama_server_options
from scripts.benchmark.prompt_cache.talk import Renderer, Talk, Talker
from scripts.benchmark.random_model import ensure_shape
from scripts.benchmark.server import ServerUnderTest

N_PARALLEL = 4
HEAD_TOKENS = 900  # of the system prompt; the tools below add as many
# Slow enough that a time to first token is prefill and not the way there and back.
TIMED_SIZES = {"n_embd": 768, "n_ff": 2048, "n_head": 12, "n_head_kv": 4}
_QUIET_S = 2.0  # longer than an entry waits before it is written, see `DISK`
_QUIET_TIMEOUT_S = 120.0
_POLL_S = 0.1
DISK: dict[str, Any] = {"disk_save_after_s": 0.1, "disk_daily_write_mb": 0}

_Played = TypeVar("_Played")


def _tool(name: str) -> dict[str, Any]:
    properties = {
        "value": {"type": "integer", "description": "from none to all there is"},
        "minutes": {"type": "integer", "description": "after how long it ends by itself"},
    }
    parameters = {"type": "object", "properties": properties, "required": ["value"]}
    description = f"sets the {name} in a room and tells what was set before"
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [_tool(name) for name in ("lamps", "heat", "blinds", "music", "timer")]
TOOL_NAMES = [tool["function"]["name"] for tool in TOOLS]


@dataclass(frozen=True)
class Bench:
    """What a run was asked for.

    Attributes:
        n_threads: of both servers.
        llama_server: the program; None looks in the usual place.
        has_peer: whether llama-server runs beside ours.
        templates: chat templates by shape, in the place of our own.
        baseline: figures of an earlier run, by shape and name.
    """

    n_threads: int
    llama_server: Path | None = None
    has_peer: bool = True
    templates: dict[str, str] = field(default_factory=dict)
    baseline: dict[tuple[str, str], float] = field(default_factory=dict)

    def model(self, shape: str, **sizes: Any) -> Path:
        """Return the model of a shape, made where it is missing."""
        return ensure_shape(shape, self.templates.get(shape), **sizes)

    def ours(self, model: Path, n_ctx: int = 8192, **settings: Any) -> ServerUnderTest:
        """Start our server.

        Args:
            model: the file.
            n_ctx: tokens of context.
            settings: what differs from the defaults, besides threads and parallel requests.
        """
        threads = {"n_threads": self.n_threads, "n_threads_batch": self.n_threads}
        values = threads | {"n_ctx": n_ctx, "parallel": N_PARALLEL} | settings
        return ServerUnderTest(model, values)

    def peer(self, model: Path, n_ctx: int = 8192) -> LlamaServer:
        """Start llama-server in the same way."""
        options = llama_server_options(n_ctx=n_ctx, n_threads=self.n_threads, parallel=N_PARALLEL)
        return LlamaServer(llama_program("llama-server", self.llama_server), model, options)

    @contextmanager
    def both(self, model: Path, n_ctx: int = 8192) -> Iterator[list[Talker]]:
        """Start ours, which keeps prompts in memory and on disk, and llama-server where wanted."""
        with ExitStack() as stack:
            folder = stack.enter_context(disk_folder())
            ours = stack.enter_context(self.ours(model, n_ctx, cache_dir=str(folder), **DISK))
            renderer = Renderer(ours.client)
            talkers = [Talker(ours, renderer)]
            if self.has_peer:
                peer = stack.enter_context(self.peer(model, n_ctx))
                talkers.append(Talker(peer, renderer))
            for talker in talkers:
                warm_up(talker)
            yield talkers

    def each(self, model: Path, play: Callable[[Talker, Texts], _Played]) -> list[_Played]:
        """Play a scenario with each server, the same texts for both; ours is the first."""
        with self.both(model) as talkers:
            seed = random.getrandbits(32)
            return [play(talker, Texts(talkers[0].server.client, seed)) for talker in talkers]


class Texts:
    """Texts that no server has seen; the same again for the same seed."""

    def __init__(self, client: HttpClient, seed: int | None = None) -> None:
        self._client = client
        self._seed = random.getrandbits(32) if seed is None else seed

    def text(self, n_tokens: int) -> str:
        """Return another text of about so many tokens."""
        state = random.getstate()
        random.seed(self._seed)
        self._seed += 1
        try:
            return random_text(self._client, n_tokens)
        finally:
            random.setstate(state)

    def talk(self, talker: Talker, system: str | None = None) -> Talk:
        """Begin a conversation with tools; with the same system prompt it has the same head."""
        return Talk(talker, system or self.text(HEAD_TOKENS), TOOLS)


def warm_up(talker: Talker) -> None:
    """Have a first request answered, which takes longer."""
    talker.ask([{"role": "user", "content": "Hello"}])


def written_bytes(client: HttpClient) -> int:
    """Return the bytes that our server has written today.

    Raises:
        BenchFailed: it keeps nothing on disk.
    """
    return int(_disk(client)["written_today_bytes"])


def wait_until_written(client: HttpClient) -> int:
    """Wait until our server has written all it is going to write; return the bytes of today.

    Raises:
        BenchFailed: it never comes to rest, or keeps nothing on disk.
    """
    began_s = changed_s = time.monotonic()
    before: Sequence[Any] = ()
    while (now_s := time.monotonic()) - changed_s < _QUIET_S:
        disk = _disk(client)
        now = (disk["written_today_bytes"], disk.get("waiting", 0))
        if now != before:
            before, changed_s = now, now_s
        if now_s - began_s > _QUIET_TIMEOUT_S:
            raise BenchFailed(f"prompts were still being written after {_QUIET_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
    return int(before[0])


def _disk(client: HttpClient) -> dict[str, Any]:
    status, body = client.get("/cache")
    disk = (body.get("tiers") or {}).get("disk") or {}
    if status != 200 or disk.get("state") != "ok":
        raise BenchFailed(f"prompts are not kept on disk: GET /cache tells {status} {disk}")
    return dict(disk)
