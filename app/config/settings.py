"""Owns the settings: names, defaults and allowed values; must not know sources or uses.

`app.config.sources` reads them; the result is immutable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import msgspec
from pydantic import (
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.config import clients as client_tables
from app.config import profiles as profile_tables
from app.config.access import HostName, Origin
from app.config.clients import ClientSetting
from app.config.models import ModelSetting, check_names
from app.config.profiles import ProfileSetting, absolute
from app.config.row_fields import setting, with_settings
from app.parameters.cache_types import PLAIN_TYPES
from app.parameters.load import LoadParams
from app.parameters.names import STRUCTS
from app.parameters.row import rows

ENV_PREFIX = "DISTILLER_LLM_"

_PROJECT = Path(__file__).resolve().parents[2]
_UNSET_WORDS = ("auto", "none", "")
DEFAULT_SOURCE = "default"

# In the order of docs/configuration.md, which has a heading for each.
SECTIONS = (
    "The service",
    "Model names",
    "Access control",
    "Loading a model",
    "Sampling",
    "Answers",
    "Queue",
    "Prompt cache",
    "Stored answers",
    "Profiles",
    "Timeouts",
)

Part = TypeVar("Part", bound=msgspec.Struct)


@with_settings(*STRUCTS)
class Settings(BaseSettings):
    """All settings of the service; `app.config.sources.load_settings` makes one.

    Constructed directly, it uses only its arguments and defaults. Settings that only the HTTP
    process uses are defined here; the others are derived from the rows of `app.parameters`.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
    )

    host: str = setting(
        "127.0.0.1",
        "address to listen on, or a host name for all of its addresses",
        section="The service",
        takes_effect="next start",
        min_length=1,
    )
    port: int = setting(
        8000,
        "port to listen on; 0 picks a free port",
        section="The service",
        takes_effect="next start",
        ge=0,
        le=65535,
    )
    ollama_port: int | None = setting(
        None,
        "additional port to listen on, such as 11434 for Ollama's clients; auto: none",
        section="The service",
        takes_effect="next start",
        ge=1,
        le=65535,
    )
    unix_socket: Path | None = setting(
        None,
        "path of an additional Unix domain socket to listen on; auto: none",
        section="The service",
        takes_effect="next start",
    )
    models_dir: Path = setting(
        _PROJECT / "models",
        "directory of the model files (.gguf)",
        section="The service",
        takes_effect="next start",
    )
    cache_dir: Path = setting(
        _PROJECT / "cache",
        "directory of the prompt cache",
        section="The service",
        takes_effect="next start",
    )
    model_name: str | None = setting(
        None,
        "model to load at startup; auto: the newest one that can be loaded",
        section="The service",
        takes_effect="next load",  # at once if no model is loaded
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "minimum level of log messages", section="The service", takes_effect="now"
    )
    log_format: Literal["auto", "json", "console", "journal"] = setting(
        "auto",
        "log format; auto is journal under systemd, console on a terminal, json otherwise",
        section="The service",
        takes_effect="now",
    )

    models: Annotated[list[ModelSetting], NoDecode] = setting(
        [],
        "aliases of models",
        section="Model names",
        takes_effect="now",
    )
    unknown_model: Literal["refuse", "default"] = setting(
        "refuse",
        "what a request gets that names a model that does not exist: an error, or the answer of "
        "the default model",
        section="Model names",
        takes_effect="now",
    )

    api_keys: SecretStr | None = setting(
        None,
        "API keys that clients may authenticate with, as NAME:KEY, separated by commas",
        section="Access control",
        takes_effect="now",
    )
    api_keys_file: Path | None = setting(
        None,
        "file of API keys, one NAME:KEY per line",
        section="Access control",
        takes_effect="now",
    )
    allow_unauthenticated: bool = setting(
        False,
        "accept requests from other hosts without an API key",
        section="Access control",
        takes_effect="now",
    )
    allowed_hosts: Annotated[list[HostName], NoDecode] = setting(
        [],
        "additional host names that requests without an API key may address",
        section="Access control",
        takes_effect="now",
    )
    cors_origins: Annotated[list[Origin], NoDecode] = setting(
        [],
        "allowed CORS origins",
        section="Access control",
        takes_effect="now",
    )
    clients: Annotated[list[ClientSetting], NoDecode] = setting(
        [],
        "limits of single clients, by the names of their API keys",
        section="Access control",
        takes_effect="now",
    )
    max_connections: int = setting(
        512,
        "maximum number of open connections",
        section="Access control",
        takes_effect="now",
        ge=1,
        le=16_000,
    )
    max_client_requests: int = setting(
        64,
        "maximum number of concurrent requests per client",
        section="Access control",
        takes_effect="now",
        ge=1,
        le=16_000,
    )
    max_header_bytes: int = setting(
        8192,
        "maximum size of a request header in bytes",
        section="Access control",
        takes_effect="now",
        ge=1024,
        le=16_384,
    )
    max_body_bytes: int = setting(
        8 * 1024 * 1024,
        "maximum size of a request body in bytes",
        section="Access control",
        takes_effect="now",  # for new connections
        ge=1024,
        le=32 * 1024**2,
    )

    profiles: Annotated[list[ProfileSetting], NoDecode] = setting(
        [],
        "prompt prefixes to prefill when a model is loaded",
        section="Profiles",
        takes_effect="next load",
    )

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave merging to `load_settings`, which records the source of each value."""
        return (init_settings,)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        kind, _ = kind_of(str(info.field_name))
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("a truth value")
        if not isinstance(value, str):
            return value
        if is_unset(str(info.field_name), value):
            return None
        if get_origin(kind) is Literal:
            return value.strip().lower()
        if kind is Path and not value:
            raise ValueError("no path")
        if get_origin(kind) is list:
            return from_json(value)
        return value if kind in (str, Path, SecretStr) else value.strip()

    @field_validator("models_dir", "cache_dir", "unix_socket", "api_keys_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and absolute(path)

    @field_validator("profiles")
    @classmethod
    def _profiles_differ(cls, profiles: list[ProfileSetting]) -> list[ProfileSetting]:
        profile_tables.TABLE.refuse_repeated_names(profile.name for profile in profiles)
        return profiles

    @field_validator("clients")
    @classmethod
    def _clients_differ(cls, clients: list[ClientSetting]) -> list[ClientSetting]:
        client_tables.TABLE.refuse_repeated_names(client.name for client in clients)
        return clients

    @field_validator("models")
    @classmethod
    def _models_differ(cls, models: list[ModelSetting]) -> list[ModelSetting]:
        check_names(models)
        return models

    @model_validator(mode="after")
    def _quantised_values_need_flash_attention(self) -> Self:
        load = self.part(LoadParams)
        if load.flash_attn is False and load.type_v not in PLAIN_TYPES:
            allowed = "one of " + ", ".join(PLAIN_TYPES) + " while flash_attn is false"
            raise PydanticCustomError(
                "combination", "{allowed}", {"name": "type_v", "allowed": allowed}
            )
        return self

    def part(self, struct: type[Part]) -> Part:
        """Return a struct filled from the settings; its other fields have their defaults."""
        names = [row.name for row in rows(struct) if "setting" in row.details.given_by]
        return struct(**{name: getattr(self, name) for name in names})

    def with_sources(self, sources: Mapping[str, str], warnings: Sequence[str] = ()) -> Self:
        """Record the sources of values, by setting name, and return the settings.

        Args:
            warnings: a sentence for each ignored value.
        """
        self._sources.update(sources)
        self._warnings.extend(warnings)
        return self

    @property
    def warnings(self) -> Sequence[str]:
        """A sentence for each value that was ignored."""
        return self._warnings

    def source(self, name: str) -> str:
        """Return the source of a setting's value, for people."""
        return self._sources.get(name, DEFAULT_SOURCE)


def setting_names() -> list[str]:
    """Return the names of all settings, section by section."""
    return sorted(Settings.model_fields, key=lambda name: SECTIONS.index(detail(name, "section")))


def detail(name: str, key: str) -> str:
    """Return a detail of a setting: `section`, `takes_effect`, `allowed`."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra.get(key, "")) if isinstance(extra, dict) else ""


def kind_of(name: str) -> tuple[Any, bool]:
    """Return a setting's type without None, and whether it may be unset."""
    annotation = Settings.model_fields[name].annotation
    options = get_args(annotation)
    is_optional = NoneType in options
    kind = options[0] if is_optional else annotation
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind, is_optional


def is_unset(name: str, value: object) -> bool:
    """Return whether a value, as written, means `auto`."""
    return kind_of(name)[1] and isinstance(value, str) and value.strip().lower() in _UNSET_WORDS
