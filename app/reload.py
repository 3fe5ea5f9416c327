"""Owns reloading the settings while the service runs.

`app.config.changes` knows which settings can change at run time; the others are logged. If anything
fails, the current settings stay in force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sanic import Sanic

from app import logs
from app.api.profiles import read_profiles
from app.api.service import Service
from app.config.changes import changes, live_part
from app.config.settings import Settings
from app.errors import SettingsInvalid
from app.host.profiles import Profile
from app.logs import get_logger
from app.models.catalog import Catalog
from app.parameters.answers import StoreParams
from app.parameters.queue import QueueParams
from app.parameters.timeouts import Timeouts
from app.web.api_keys import ApiKeys, read_api_keys
from app.web.listeners import Listener, require_api_key
from app.wiring import (
    access_policy,
    answer_defaults,
    client_limits,
    load_params,
    naming,
    sanic_config,
)

log = get_logger("settings")


class Reloader:
    """Holds the settings in force.

    Args:
        app: the application, whose service and configuration are changed.
        settings: the settings at the start.
        read_again: reads all sources.
        listeners: the listening sockets, which do not change.
    """

    def __init__(
        self,
        app: Sanic[Any, Any],
        settings: Settings,
        read_again: Callable[[], Settings],
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._app = app
        self._read_again = read_again
        self._listeners = listeners
        self.settings = settings

    def reload(self) -> None:
        """Read the settings and apply those that can change; never raises."""
        try:
            wanted = self._read_again()
            profiles = read_profiles(wanted)
            keys = read_api_keys(wanted)
            require_api_key(self._listeners, wanted, keys)
        except SettingsInvalid as error:
            for line in error.message.splitlines():
                log.error("reload_failed", error=line)
            return
        except Exception as error:
            log.error("reload_failed", error="reading the settings failed", exc_info=error)
            return
        found = changes(self.settings, wanted)
        for change in found:
            level = "warning" if change.takes_effect == "next start" else "info"
            getattr(log, level)(
                "setting_changed",
                setting=change.name,
                before=change.before,
                after=change.after,
                takes_effect=change.takes_effect,
            )
        self.settings = live_part(self.settings, wanted)
        self._apply(self.settings, profiles, keys)
        log.info("reloaded", changes=len(found))

    def _apply(self, settings: Settings, profiles: list[Profile], keys: ApiKeys) -> None:
        logs.configure(settings.log_level, settings.log_format)
        self._app.config.update(sanic_config(settings))
        service: Service = self._app.ctx.service
        if keys != service.access_policy.keys:
            log.info("api_keys_changed", names=keys.names)
        service.access_policy = access_policy(settings, keys)
        service.defaults = answer_defaults(settings)
        service.client_limits = client_limits(settings)
        service.catalog.naming = naming(settings)
        warn_of_no_effect(settings, service.catalog, keys)
        service.timeouts = settings.part(Timeouts)
        service.answer_store.params = settings.part(StoreParams)
        supervisor = service.supervisor
        supervisor.reconfigure(
            load_params(settings), settings.part(QueueParams), profiles, service.timeouts
        )
        if supervisor.status.name in ("no_model", "error"):
            supervisor.start(settings.model_name)


def warn_of_no_effect(settings: Settings, catalog: Catalog, keys: ApiKeys) -> None:
    """Log a warning for each alias and each client of the settings that has no effect."""
    faults = catalog.alias_faults() if catalog.naming.aliases else []
    unknown = [client.name for client in settings.clients if client.name not in keys.names]
    faults += [f"client '{name}' is the name of no API key" for name in unknown]
    for text in faults:
        log.warning("setting_without_effect", message=text)
