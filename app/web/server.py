"""Owns the event loop: serves a Sanic application on several sockets, and shuts it down gracefully.

Sanic's own runner serves one socket, polls every 100 ms and cuts open streams in the middle of a
chunk. Must not know what the application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop
from sanic import Request, Sanic

from app.background_tasks import start_task
from app.logs import get_logger
from app.web.connections import ConnectionGuard
from app.web.listeners import BACKLOG, Listener

# The first request of a new connection may be in flight.
_FIRST_REQUEST_GRACE_S = 0.25
_FLUSH_TIMEOUT_S = 0.5
_POLL_INTERVAL_S = 0.02

log = get_logger("server")


class HttpServer:
    """Serves until stopped by a signal.

    Args:
        listeners: the sockets; this server closes them.
        stop_timeout_s: returns the drain timeout of open requests.
        end_requests: makes every open request fail with an error.
        on_stop: called when the shutdown begins.
        ready: awaited before connections are accepted; until then they wait in the backlog, as
            is wanted for sockets that systemd keeps open. None: accept at once.
        max_connections: returns the maximum number of open connections.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        *,
        stop_timeout_s: Callable[[], float],
        end_requests: Callable[[], None],
        on_stop: Callable[[], None] = lambda: None,
        ready: Callable[[], Coroutine[Any, Any, None]] | None = None,
        max_connections: Callable[[], int] = lambda: 1_000_000,
    ) -> None:
        self._listeners = listeners
        self._stop_timeout_s = stop_timeout_s
        self._end_requests = end_requests
        self._on_stop = on_stop
        self._ready = ready
        self._guard = ConnectionGuard(self._connections, max_connections)
        self._servers: list[Any] = []
        self._stopping = asyncio.Event()
        self._force_stop = asyncio.Event()

    def run(self, app: Sanic[Any, Any], on_hangup: Callable[[], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends the drain.

        Args:
            app: its `before_server_*` and `after_server_*` listeners are called.
            on_hangup: called on SIGHUP, which stops the service otherwise.
        """
        app.register_middleware(self._close_after_response, "response")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(app, on_hangup or self._stop))

    async def _serve(self, app: Sanic[Any, Any], on_hangup: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
        self._servers = [await self._server(app, listener) for listener in self._listeners]
        first = self._servers[0]
        await first.startup()
        watch = start_task(self._guard.watch(lambda: app.config.REQUEST_TIMEOUT))
        try:
            await first.before_start()
            if self._ready is None:
                await self._accept()
            await first.after_start()
            if self._ready is not None:
                await self._until_ready(self._ready())
                await self._accept()
            await self._stopping.wait()
        finally:
            self._on_stop()
            self._stop_accepting()
            log.info("stopping", connections=len(self._connections()))
            await first.before_stop()
            await self._finish_requests()
            await first.after_stop()
            watch.cancel()

    async def _accept(self) -> None:
        if not self._stopping.is_set():
            for server in self._servers:
                await server.start_serving()

    async def _until_ready(self, ready: Coroutine[Any, Any, None]) -> None:
        tasks = [start_task(ready), asyncio.create_task(self._stopping.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    async def _server(self, app: Sanic[Any, Any], listener: Listener) -> Any:
        return await app.create_server(
            sock=listener.socket,
            protocol=self._guard.protocol,  # type: ignore[arg-type]  # called, not subclassed
            backlog=BACKLOG,
            access_log=False,
            return_asyncio_server=True,
            asyncio_server_kwargs={"start_serving": False},
        )

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._force_stop.set()
        self._stopping.set()

    async def _close_after_response(self, request: Request, _: Any) -> None:
        """Disable keep-alive during shutdown, so that clients reconnect to the next instance."""
        http: Any = request.stream
        if self._stopping.is_set() and http is not None:
            http.keep_alive = False

    def _stop_accepting(self) -> None:
        """Close our sockets; new clients reach the next instance's or systemd's."""
        for server in self._servers:
            if server.server is not None:
                server.server.close()
        for listener in self._listeners:
            listener.close()

    # ------------------------------------------------------------ open requests

    def open_requests(self) -> list[Request]:
        """Return the requests in progress."""
        return [connection.http.request for connection in self._connections() if connection.http]

    def _connections(self) -> list[Any]:
        return [connection for server in self._servers for connection in server.connections]

    async def _finish_requests(self) -> None:
        began_s = time.monotonic()
        await self._until_closed(self._stop_timeout_s(), self._force_stop)
        if connections := self._connections():
            open_requests = sum(1 for connection in connections if _is_busy(connection))
            log.info(
                "ending_requests",
                requests=open_requests,
                waited_s=round(time.monotonic() - began_s, 1),
            )
            self._end_requests()
            await self._until_closed(_FLUSH_TIMEOUT_S)
        for connection in self._connections():
            connection.abort()

    async def _until_closed(self, timeout_s: float, cut_short: asyncio.Event | None = None) -> None:
        """Close connections as they become idle, until none is left or the timeout expires."""
        began_s = time.monotonic()
        waiting = cut_short or asyncio.Event()
        while not waiting.is_set():
            passed_s = time.monotonic() - began_s
            for connection in self._connections():
                if connection.state["requests_count"] or passed_s >= _FIRST_REQUEST_GRACE_S:
                    connection.close_if_idle()
            if not self._connections() or passed_s >= timeout_s:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_POLL_INTERVAL_S, timeout_s)):
                    await waiting.wait()


def _is_busy(connection: Any) -> bool:
    return bool(connection.http)
