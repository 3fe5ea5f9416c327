"""Owns the composition of the HTTP process: what is built, in what order it starts and stops.

`python app/server.py --host H --port P …` works too, from any folder: the device's existing
client starts its server by a script's path.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by path: the folder of this file must not shadow other modules
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("app", run_name="__main__")

import os
import socket

from sanic import Sanic
from sanic.config import Config

from app import __version__, logs
from app.api import access_log, cache, chat, documentation, health, metrics, models, tokens
from app.api.defaults import Defaults
from app.api.errors import JsonErrorHandler
from app.api.meters import Metrics
from app.api.profiles import read_profiles
from app.api.service import Service
from app.catalog import Catalog
from app.host.cache_folder import CacheFolder
from app.host.device import read_device
from app.host.device_watch import DeviceWatch
from app.host.pressure import find_source
from app.host.relief import PressureWatch, Relief
from app.host.spawn import SpawnedEngine
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import CacheParams, LoadParams, QueueParams, ReasoningParams, SamplingParams
from app.settings import Settings
from app.settings_sources import load_settings

BLUEPRINTS = (
    health.blueprint,
    models.blueprint,
    chat.blueprint,
    cache.blueprint,
    tokens.blueprint,
    metrics.blueprint,
    documentation.blueprint,
)
_BACKLOG = 128
_NEVER_S = 10_000_000

HttpApp = Sanic[Any, Any]
log = get_logger("server")


def create_app() -> HttpApp:
    """Return the application with settings from environment and file.

    For development with reload on change: `sanic app.server:create_app --factory --dev`.
    """
    settings = load_settings({})
    logs.configure(settings.log_level, settings.log_format)
    return compose(settings)


def compose(settings: Settings, spawned: SpawnedEngine | None = None) -> HttpApp:
    """Return the application, its parts wired and not yet started.

    Args:
        spawned: an engine process that was started early.
    """
    app: HttpApp = Sanic(
        "distiller-llm",
        config=_sanic_config(settings),
        error_handler=JsonErrorHandler(),
        configure_logging=False,
    )
    service = _build_service(settings)
    app.ctx.service = service
    pressure = PressureWatch(lambda: find_source(os.environ), Relief(service.supervisor))
    access_log.install(app)
    for blueprint in BLUEPRINTS:
        app.blueprint(blueprint)

    @app.before_server_start
    async def start(_app: HttpApp) -> None:
        service.supervisor.start(settings.model_name, spawned)
        service.device.start()
        pressure.start()

    @app.before_server_stop
    async def refuse(_app: HttpApp) -> None:
        service.supervisor.begin_stop()

    @app.after_server_stop
    async def stop(_app: HttpApp) -> None:
        await pressure.stop()
        await service.device.stop()
        await service.supervisor.stop()

    return app


def serve(settings: Settings, spawned: SpawnedEngine | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    try:
        listener = _listen(settings)
    except (OSError, UnicodeError) as error:
        log.error("cannot_listen", host=settings.host, port=settings.port, error=str(error))
        if spawned:
            spawned.discard()
        return 1
    app = compose(settings, spawned)
    app.prepare(sock=listener, single_process=True, motd=False, access_log=False)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("listening", url=f"http://{shown}:{port}", models_dir=str(settings.models_dir))
    Sanic.serve_single(app)
    log.info("stopped")
    return 0


def _build_service(settings: Settings) -> Service:
    catalog = Catalog(settings.models_dir)
    verbose = settings.verbose or settings.log_level == "debug"
    defaults = LoadParams(**_pick(settings, LoadParams.__struct_fields__) | {"verbose": verbose})
    queue = QueueParams(**_pick(settings, QueueParams.__struct_fields__))
    supervisor = Supervisor(
        catalog,
        defaults,
        queue,
        _cache_folder(settings),
        read_profiles(settings),
        load_timeout_s=settings.load_timeout_s,
        engine_timeout_s=settings.engine_timeout_s,
        drain_timeout_s=settings.drain_timeout_s,
    )
    device = DeviceWatch(lambda: read_device(settings.models_dir, settings.cache_dir))
    return Service(
        catalog=catalog,
        supervisor=supervisor,
        metrics=Metrics(supervisor, device),
        device=device,
        defaults=_answer_defaults(settings),
        sse_ping_s=settings.sse_ping_s,
        version=__version__,
    )


def _answer_defaults(settings: Settings) -> Defaults:
    return Defaults(
        sampling=SamplingParams(**_pick(settings, SamplingParams.__struct_fields__)),
        max_tokens=settings.max_tokens,
        reasoning=ReasoningParams(
            is_split=settings.reasoning_format != "none", budget=settings.reasoning_budget
        ),
        speculate=settings.speculation,
    )


def _cache_folder(settings: Settings) -> CacheFolder:
    wanted = CacheParams(
        folder=str(settings.cache_dir) if settings.disk_cache_mb else "",
        capacity_mb=settings.disk_cache_mb,
        daily_write_mb=settings.disk_daily_write_mb,
        save_after_s=settings.disk_save_after_s,
    )
    return CacheFolder(settings.cache_dir, wanted)


def _pick(settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings of these names; settings and engine parameters share theirs."""
    return {name: getattr(settings, name) for name in names if name in Settings.model_fields}


def _sanic_config(settings: Settings) -> Config:
    return Config(
        {
            "REQUEST_MAX_SIZE": settings.max_body_bytes,
            "REQUEST_TIMEOUT": settings.request_timeout_s,
            "RESPONSE_TIMEOUT": _NEVER_S,
            "KEEP_ALIVE_TIMEOUT": settings.keep_alive_s,
            "GRACEFUL_SHUTDOWN_TIMEOUT": settings.stop_timeout_s,
            "FALLBACK_ERROR_FORMAT": "json",
            "ACCESS_LOG": False,
            "MOTD": False,
            "AUTO_EXTEND": False,
        },
        env_prefix="",
    )


def _notice_vanished_clients(listener: socket.socket) -> None:
    """Have the kernel probe silent connections; accepted ones inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _listen(settings: Settings) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _notice_vanished_clients(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
