"""Owns the composition of the HTTP process and the order in which its parts start and stop.

`python app/server.py --host H --port P …` works too, from any folder: the device's existing
client starts its server by a script's path.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":  # run by path: this file's folder must not shadow other modules
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("app", run_name="__main__")

import os
from collections.abc import Callable, Iterable
from typing import Any

from sanic import Request, Sanic

from app import __version__, logs
from app.answer_store.store import AnswerStore
from app.api import routes
from app.api.metric_registry import Metrics
from app.api.profiles import read_profiles
from app.api.service import Service
from app.config.settings import Settings
from app.config.sources import load_settings
from app.device.memory_pressure import find_source
from app.device.readings import read_device
from app.device.watch import DeviceWatch
from app.errors import SettingsInvalid
from app.host.cache_folder import CacheFolder
from app.host.memory_relief import MemoryRelief, PressureWatch
from app.host.process.spawn import SpawnedEngine
from app.host.secret_key import SecretKey
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.models.catalog import Catalog
from app.models.content.digests import FileDigests
from app.parameters.answers import StoreParams
from app.parameters.queue import QueueParams
from app.parameters.timeouts import Timeouts
from app.reload import Reloader, warn_of_no_effect
from app.systemd.notify import ServiceManager
from app.systemd.status import SystemdStatus
from app.systemd.watchdog import SupervisorHealth
from app.web import access_control, access_log
from app.web.api_keys import ApiKeys, read_api_keys
from app.web.errors import JsonErrorHandler
from app.web.listeners import CannotListen, Listener, open_listeners, require_api_key
from app.web.server import HttpServer
from app.wiring import (
    access_policy,
    answer_defaults,
    cache_params,
    client_limits,
    load_params,
    naming,
    sanic_config,
)

EXIT_FAILED = 1
EXIT_WRONG_SETTING = 2
_END_S = 0.5  # to write and store the ends of answers without a client
HttpApp = Sanic[Any, Any]
log = get_logger("server")


def create_app() -> HttpApp:
    """Return the application with settings from environment and file.

    For development with reload on change: `sanic app.server:create_app --factory --dev`.
    """
    settings = load_settings({})
    logs.configure(settings.log_level, settings.log_format)
    return compose(settings, _build_service(settings, read_api_keys(settings)))


def compose(
    settings: Settings,
    service: Service,
    spawned: SpawnedEngine | None = None,
    open_requests: Callable[[], Iterable[Request]] = tuple,
) -> HttpApp:
    """Return the application, wired but not started.

    Args:
        spawned: an engine that was spawned early.
        open_requests: returns the requests in progress.
    """
    table = routes.RouteTable(routes.DIALECTS)
    app: HttpApp = Sanic(
        "distiller-llm",
        config=sanic_config(settings),
        error_handler=JsonErrorHandler(table.error_shape, table.error_statuses),
        configure_logging=False,
    )
    app.ctx.service = service
    pressure = PressureWatch(lambda: find_source(os.environ), MemoryRelief(service.supervisor))
    access_log.install(app, service.metrics.count_request)
    access_control.install(
        app,
        lambda: service.access_policy,
        lambda: [*open_requests(), *service.detached_requests()],
    )
    for blueprint in table.blueprints():
        app.blueprint(blueprint)
    for route in app.router.routes:
        route.extra.ignore_body = True  # read after access control, with a timeout

    @app.before_server_start
    async def start(_app: HttpApp) -> None:
        service.supervisor.start(settings.model_name, spawned)
        await service.answer_store.start()
        service.device.start()
        pressure.start()

    @app.before_server_stop
    async def refuse(_app: HttpApp) -> None:
        service.supervisor.begin_stop()

    @app.after_server_stop
    async def stop(_app: HttpApp) -> None:
        service.supervisor.end_requests()
        await service.detached.stop(_END_S)
        await service.background.stop(_END_S)
        await service.answer_store.stop()
        await pressure.stop()
        await service.device.stop()
        await service.supervisor.stop()
        service.digests.close()

    return app


def serve(
    settings: Settings,
    spawned: SpawnedEngine | None = None,
    manager: ServiceManager | None = None,
    read_again: Callable[[], Settings] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Args:
        spawned: an engine that was spawned early.
        manager: systemd; None if it did not start this process.
        read_again: reads the settings on SIGHUP.
    """
    manager = manager or ServiceManager()
    try:
        keys = read_api_keys(settings)
        listeners = _open_listeners(settings, keys, manager)
    except CannotListen as error:
        log.error("cannot_listen", host=settings.host, port=settings.port, error=str(error))
        return _abort(spawned, EXIT_FAILED)
    except SettingsInvalid as error:
        log.error("settings_invalid", error=error.message)
        return _abort(spawned, EXIT_WRONG_SETTING)
    service = _build_service(settings, keys)
    supervisor = service.supervisor
    feed = SystemdStatus(manager, supervisor, SupervisorHealth(supervisor))
    server = HttpServer(
        listeners,
        stop_timeout_s=lambda: app.ctx.service.timeouts.stop_timeout_s,
        end_requests=supervisor.end_requests,
        on_stop=feed.stopping,
        # With socket activation, clients wait in the backlog until the model serves.
        ready=supervisor.initial_load_done if manager.fds else None,
        max_connections=lambda: reloader.settings.max_connections,
    )
    app = compose(settings, service, spawned, server.open_requests)
    reloader = Reloader(app, settings, read_again or (lambda: settings), listeners)

    @app.after_server_start
    async def announce(_app: HttpApp) -> None:
        feed.start()
        for listener in listeners:
            log.info("listening", url=listener.url, models_dir=str(settings.models_dir))

    def reload() -> None:
        with feed.reloading():
            reloader.reload()

    # Closing a terminal sends SIGHUP too, which has to end the process.
    server.run(app, on_hangup=None if sys.stderr.isatty() else reload)
    log.info("stopped")
    return 0


def _open_listeners(settings: Settings, keys: ApiKeys, manager: ServiceManager) -> list[Listener]:
    listeners = open_listeners(settings, manager.fds)
    try:
        require_api_key(listeners, settings, keys)
    except SettingsInvalid:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _abort(spawned: SpawnedEngine | None, status: int) -> int:
    if spawned:
        spawned.discard()
    return status


def _build_service(settings: Settings, keys: ApiKeys) -> Service:
    catalog = Catalog(settings.models_dir, naming(settings))
    warn_of_no_effect(settings, catalog, keys)
    timeouts = settings.part(Timeouts)
    supervisor = Supervisor(
        catalog,
        load_params(settings),
        settings.part(QueueParams),
        CacheFolder(settings.cache_dir, cache_params(settings)),
        read_profiles(settings),
        timeouts=timeouts,
    )
    device = DeviceWatch(lambda: read_device(settings.models_dir, settings.cache_dir))
    return Service(
        catalog=catalog,
        supervisor=supervisor,
        metrics=Metrics(supervisor, device),
        device=device,
        defaults=answer_defaults(settings),
        client_limits=client_limits(settings),
        timeouts=timeouts,
        access_policy=access_policy(settings, keys),
        answer_store=AnswerStore(settings.cache_dir, settings.part(StoreParams)),
        secret_key=SecretKey(settings.cache_dir),
        digests=FileDigests(settings.cache_dir, lambda: _has_work(supervisor)),
        version=__version__,
    )


def _has_work(supervisor: Supervisor) -> bool:
    """Return whether a model is being loaded, or has requests."""
    return supervisor.is_busy or any(each.engine.n_requests for each in supervisor.loaded)
