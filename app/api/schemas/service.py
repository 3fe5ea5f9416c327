"""Owns the shapes of status, model and token endpoints; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.api.schemas.cache import DiskState
from app.api.schemas.common import Lenient, LoadModelConfigs, Strict


class RootResponse(BaseModel):
    """Answer of `GET /`."""

    message: str
    status: Literal["ok"]
    version: str
    documentation: str


class DiskHealth(BaseModel):
    """The state of the disk cache, and the reason if it is not `ok`."""

    disk: DiskState
    message: str


class ProfileHealth(BaseModel):
    """The state of a profile."""

    name: str
    state: Literal["waiting", "restoring", "ready", "failed", "other_model"]
    message: str


class DeviceHealth(BaseModel):
    """The sensors of the device; null if not available."""

    temperature_c: float | None
    temperatures_c: dict[str, float]
    cpu_mhz: int | None
    cpu_max_mhz: int | None
    throttled: bool | None
    under_voltage: bool | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    memory_pressure_some_percent: float | None
    memory_pressure_full_percent: float | None
    models_free_bytes: int | None
    cache_free_bytes: int | None
    load_average: list[float] | None


class HealthState(BaseModel):
    """Answer of `GET /health` without authentication."""

    status: Literal["ok", "loading", "restarting", "no_model", "error", "stopping"]
    message: str
    model_loaded: bool
    current_model: str | None


class HealthResponse(HealthState):
    """Answer of `GET /health`: 200 if a model is loaded, else 503."""

    warnings: list[str]
    hints: list[str]
    version: str
    uptime_s: float
    engine: dict[str, Any]
    cache: DiskHealth
    profiles: list[ProfileHealth]
    device: DeviceHealth


class LiveResponse(BaseModel):
    """Answer of `GET /health/live`: the HTTP process is alive."""

    status: Literal["ok"]


class ModelStatus(BaseModel):
    """Whether a model is loaded; `progress` of a load, `message` of one that failed."""

    value: Literal["loaded", "loading", "failed", "unloaded"]
    failed: bool = False
    progress: float | None = None
    message: str = ""


class ModelMeta(BaseModel):
    """The shape of a model, by llama-server's names; null for what the file does not tell.

    `vocab_type` is llama.cpp's number of the tokenizer's kind, `n_ctx` the context window of a
    model that is loaded, `size` in bytes.
    """

    vocab_type: int | None
    n_vocab: int | None
    n_ctx: int | None
    n_ctx_train: int | None
    n_embd: int | None
    n_params: int | None
    size: int
    ftype: str | None


class ModelEntry(BaseModel):
    """One model file."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aliases: list[str]
    status: ModelStatus
    meta: ModelMeta | None
    size_bytes: int
    loaded: bool
    n_ctx: int | None


class ModelsResponse(BaseModel):
    """Answer of `GET /models`: names for the device's clients, entries for OpenAI's."""

    models: list[str]
    object: Literal["list"]
    data: list[ModelEntry]


class SetModelRequest(Lenient):
    """Body of `POST /setModel`; the device's client puts `n_ctx` into `inference_configs`."""

    model_name: str = Field(min_length=1, max_length=255)
    load_model_configs: LoadModelConfigs | None = None
    inference_configs: LoadModelConfigs | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the load parameters; `load_model_configs` wins."""
        merged: dict[str, Any] = {}
        for configs in (self.inference_configs, self.load_model_configs):
            if configs is not None:
                merged.update(configs.overrides())
        return merged


class SetModelResponse(BaseModel):
    """Answer of `POST /setModel`."""

    message: str
    status: Literal["ok"]
    model: str
    n_ctx: int
    n_gpu_layers: int
    load_ms: float
    notes: list[str]


TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]


class TokenizeRequest(Strict):
    """Body of `POST /tokenize`; the names are llama-server's."""

    content: str = Field(max_length=1_000_000)
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class TokenizeResponse(BaseModel):
    """Token ids, or with `with_pieces` objects of id and piece."""

    tokens: list[Any]


class DetokenizeRequest(Strict):
    """Body of `POST /detokenize`."""

    tokens: list[TokenId] = Field(max_length=1_000_000)


class DetokenizeResponse(BaseModel):
    """The text of the tokens."""

    content: str
