"""Owns every setting: its name, default and allowed values; must know nothing of use or sources.

`app.config.sources` reads the values from where they are given; the result is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
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

from app.config.access import HostName, Origin
from app.config.profiles import ProfileSetting, absolute, refuse_repeated_names

ENV_PREFIX = "DISTILLER_LLM_"

_PROJECT = Path(__file__).resolve().parents[2]
_UNSET_WORDS = ("auto", "none", "")
DEFAULT_SOURCE = "default"

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
_PLAIN_CACHE_TYPES = ("f32", "f16", "bf16")
SequenceBreaker = Annotated[
    str, StringConstraints(min_length=1, max_length=20, pattern=r"^[^\x00]*$")
]
SequenceBreakers = Annotated[list[SequenceBreaker], Field(min_length=1, max_length=8)]


class Settings(BaseSettings):
    """All settings of the service; `settings_sources.load_settings` makes one.

    Made directly, it takes only its arguments and defaults: no environment, no file.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen on, or a name for all of its addresses",
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    unix_socket: Path | None = Field(
        None, description="path of a unix socket to listen on too; auto is none"
    )
    models_dir: Path = Field(_PROJECT / "models", description="folder of the .gguf files")
    cache_dir: Path = Field(_PROJECT / "cache", description="folder of the prompt cache")
    model_name: str | None = Field(
        None, description="model to load at the start; auto takes the only or newest one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged"
    )
    log_format: Literal["auto", "json", "console", "journal"] = Field(
        "auto",
        description="form of log lines; auto is journal under systemd, console on a terminal, "
        "else json",
    )

    api_keys: SecretStr | None = Field(
        None, description="keys of which clients must show one, NAME:KEY with commas between them"
    )
    api_keys_file: Path | None = Field(None, description="file of such keys, one NAME:KEY a line")
    allow_unauthenticated: bool = Field(
        False, description="answer other machines though no key is needed"
    )
    allowed_hosts: Annotated[list[HostName], NoDecode] = Field(
        [], description="names of this server that clients without keys may use, besides its own"
    )
    cors_origins: Annotated[list[Origin], NoDecode] = Field(
        [], description="web pages of other servers that may ask"
    )
    max_connections: int = Field(
        512, ge=1, le=16_000, description="connections that may be open at the same time"
    )
    max_client_requests: int = Field(
        64, ge=1, le=16_000, description="requests that one client may have open at the same time"
    )
    max_header_bytes: int = Field(
        8192, ge=1024, le=16_384, description="largest header of a request, in bytes"
    )
    max_body_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, le=32 * 1024**2, description="largest request body, in bytes"
    )

    n_ctx: int = Field(
        4096, ge=256, le=2**24, description="context window in tokens; lowered to what fits"
    )
    n_gpu_layers: int = Field(
        0, ge=-1, le=9999, description="layers to put on a GPU; -1 is all of them"
    )
    n_batch: int = Field(512, ge=32, le=8192, description="tokens in a batch")
    n_ubatch: int = Field(512, ge=32, le=8192, description="tokens computed at once")
    n_threads: int | None = Field(None, ge=1, le=1024, description="threads for decoding")
    n_threads_batch: int | None = Field(None, ge=1, le=1024, description="threads for prefill")
    use_mmap: bool = Field(True, description="map the model file instead of reading it")
    use_mlock: bool = Field(False, description="lock the model in memory")
    flash_attn: bool | None = Field(None, description="use flash attention")
    type_k: CacheType = Field("f16", description="type of the KV cache's keys")
    type_v: CacheType = Field("f16", description="type of the KV cache's values")
    rope_freq_base: float | None = Field(None, gt=0, description="RoPE base frequency")
    rope_freq_scale: float | None = Field(None, gt=0, description="RoPE frequency factor")
    verbose: bool = Field(False, description="log llama.cpp's own lines in full")
    chat_template: str | None = Field(
        None, description="Jinja2 text to use instead of the model's own chat template"
    )
    tool_format: str | None = Field(
        None, description="how the model writes tool calls; auto is what its template shows"
    )

    temperature: float = Field(0.8, ge=0, le=100, description="randomness; 0 is greedy")
    top_k: int = Field(40, ge=0, le=1_000_000, description="likeliest tokens kept; 0 is all")
    top_p: float = Field(0.95, ge=0, le=1, description="probability mass kept; 1 is all")
    min_p: float = Field(0.05, ge=0, le=1, description="least share of the top probability")
    typical_p: float = Field(1.0, gt=0, le=1, description="typical sampling; 1 is off")
    repeat_penalty: float = Field(1.0, gt=0, le=100, description="repeated tokens; 1 is off")
    repeat_last_n: int = Field(
        64, ge=-1, le=2**24, description="tokens looked back on for penalties; -1 is all, 0 is off"
    )
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="penalty for each repetition")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="penalty once repeated")
    top_n_sigma: float = Field(
        -1.0, ge=-1, le=100, description="standard deviations below the top logit kept; -1 is off"
    )
    xtc_probability: float = Field(
        0.0, ge=0, le=1, description="how often the likeliest tokens are left out (XTC); 0 is off"
    )
    xtc_threshold: float = Field(
        0.1, ge=0, le=1, description="probability from which XTC leaves out; above 0.5 is off"
    )
    dry_multiplier: float = Field(
        0.0, ge=0, le=100, description="penalty for repeated passages (DRY); 0 is off"
    )
    dry_base: float = Field(1.75, ge=1, le=100, description="growth of DRY's penalty per token")
    dry_allowed_length: int = Field(
        2, ge=0, le=1_000_000, description="tokens a passage may repeat without penalty (DRY)"
    )
    dry_penalty_last_n: int = Field(
        64, ge=-1, le=1_000_000, description="tokens looked back on for DRY; -1 is all, 0 is off"
    )
    dry_sequence_breakers: Annotated[SequenceBreakers, NoDecode] = Field(
        ["\n", ":", '"', "*"], description="texts at which DRY takes a passage to end"
    )
    dynatemp_range: float = Field(
        0.0, ge=0, le=100, description="how far the temperature follows the entropy; 0 is off"
    )
    dynatemp_exponent: float = Field(
        1.0, ge=0, le=100, description="how entropy becomes temperature"
    )
    mirostat: int = Field(0, ge=0, le=2, description="version of Mirostat to sample with; 0 is off")
    mirostat_tau: float = Field(5.0, ge=0, le=100, description="entropy that Mirostat aims at")
    mirostat_eta: float = Field(0.1, ge=0, le=1, description="how quickly Mirostat learns")
    seed: int | None = Field(
        None, ge=0, le=2**32 - 1, description="seed of random choices; auto draws anew each time"
    )
    ignore_eos: bool = Field(False, description="go on to max_tokens whatever the model wants")
    max_tokens: int | None = Field(
        None, ge=1, le=2**24, description="longest answer in tokens; auto fills the context"
    )
    reasoning_format: Literal["auto", "none"] = Field(
        "auto", description="auto keeps what the model thinks apart from the text, none in it"
    )
    reasoning_budget: int | None = Field(
        None, ge=0, le=2**24, description="most tokens of thinking in an answer; auto is no limit"
    )
    speculation: bool = Field(True, description="guess tokens ahead where the prompt lets it")

    parallel: int = Field(
        4, ge=1, le=64, description="requests answered at the same time; 1 is one after another"
    )
    max_queue: int = Field(64, ge=0, le=10_000, description="requests that may wait for a place")
    step_target_ms: int = Field(
        250, ge=10, le=10_000, description="longest wait of a running answer for another's prompt"
    )
    stream_interval_ms: int = Field(
        20, ge=0, le=1000, description="quicker tokens leave together; 0 sends each by itself"
    )
    idle_cache_mb: int = Field(
        128, ge=0, le=2**20, description="MiB of memory for idle conversations; 0 keeps none"
    )
    request_deadline_s: float | None = Field(
        None, gt=0, le=86400, description="longest time a request may take"
    )

    disk_cache_mb: int = Field(
        2048, ge=0, le=2**24, description="MiB on disk for prompts of all models; 0 keeps none"
    )
    disk_daily_write_mb: int = Field(
        4096, ge=0, le=2**24, description="MiB written to disk in a day; 0 is no limit"
    )
    disk_save_after_s: float = Field(
        2, ge=0, le=3600, description="idle time of a conversation before it is written to disk"
    )
    profiles: Annotated[list[ProfileSetting], NoDecode] = Field(
        [], description="conversations to have ready from the start"
    )

    keep_alive_s: float = Field(75, ge=1, le=86400, description="idle connections are kept")
    sse_ping_s: float = Field(15, gt=0, le=3600, description="silence in a stream before a ping")
    request_timeout_s: float = Field(
        60,
        gt=0,
        le=86400,
        description="time a client may take to send a request or to take a piece of an answer",
    )
    load_timeout_s: float = Field(600, gt=0, le=86400, description="time for loading a model")
    drain_timeout_s: float = Field(
        300, ge=0, le=86400, description="time for open requests when a model makes room"
    )
    engine_timeout_s: float = Field(
        60, gt=0, le=3600, description="silence of a working engine before it is restarted"
    )
    stop_timeout_s: float = Field(2, ge=0, le=3600, description="time for open requests at a stop")

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
        """Leave merging to `load_settings`, which remembers where each value is from."""
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
    def _names_differ(cls, profiles: list[ProfileSetting]) -> list[ProfileSetting]:
        refuse_repeated_names(profiles)
        return profiles

    @model_validator(mode="after")
    def _quantised_values_need_flash_attention(self) -> Self:
        if self.flash_attn is False and self.type_v not in _PLAIN_CACHE_TYPES:
            allowed = "one of " + ", ".join(_PLAIN_CACHE_TYPES) + " while flash_attn is false"
            raise PydanticCustomError(
                "combination", "{allowed}", {"name": "type_v", "allowed": allowed}
            )
        return self

    def with_sources(self, sources: Mapping[str, str], warnings: Sequence[str] = ()) -> Self:
        """Note where values are from, by setting name and in words, and return the settings.

        Args:
            warnings: what was left out on the way, a sentence each.
        """
        self._sources.update(sources)
        self._warnings.extend(warnings)
        return self

    @property
    def warnings(self) -> Sequence[str]:
        """What was left out when the sources were read, a sentence each."""
        return self._warnings

    def source(self, name: str) -> str:
        """Return where the value of a setting is from, in words."""
        return self._sources.get(name, DEFAULT_SOURCE)


def setting_names() -> list[str]:
    """Return the names of all settings, in the order of their declaration."""
    return list(Settings.model_fields)


def kind_of(name: str) -> tuple[Any, bool]:
    """Return a setting's type without None, and whether it may be unset."""
    annotation = Settings.model_fields[name].annotation
    options = get_args(annotation)
    if NoneType not in options:
        return annotation, False
    return options[0], True


def is_unset(name: str, value: object) -> bool:
    """Return whether a written value leaves the choice to the program."""
    return kind_of(name)[1] and isinstance(value, str) and value.strip().lower() in _UNSET_WORDS
