"""Owns the bodies of Ollama's requests and responses about models; must not know handlers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.api.schemas.common import Lenient
from app.errors import InvalidRequest


class NamedRequest(Lenient):
    """A request about one model; older clients call it `name`."""

    model: str | None = None
    name: str | None = None

    @property
    def asked(self) -> str:
        """The model's name.

        Raises:
            InvalidRequest: there is none.
        """
        found = self.model or self.name
        if not found:
            raise InvalidRequest("model is required", param="model")
        return found


class ShowRequest(NamedRequest):
    """Body of `POST /api/show`."""

    verbose: bool | None = None


class PullRequest(NamedRequest):
    """Body of `POST /api/pull` and `POST /api/push`."""

    stream: bool | None = None


class DeleteRequest(NamedRequest):
    """Body of `DELETE /api/delete`."""


class CopyRequest(Lenient):
    """Body of `POST /api/copy`."""

    source: str = Field(min_length=1)
    destination: str = Field(min_length=1)


class CreateRequest(NamedRequest):
    """Body of `POST /api/create`; `from` or `files` says what the model is made of."""

    parent: str | None = Field(None, alias="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    template: str | None = None
    system: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[Any] | None = None
    license: str | list[str] | None = None
    quantize: str | None = None
    modelfile: str | None = None
    stream: bool | None = None


class VersionResponse(Lenient):
    """Answer of `GET /api/version`."""

    version: str


class ModelDetails(Lenient):
    """What kind of model one is."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int


class ListedModel(Lenient):
    """One model in a list."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails
    capabilities: list[str]


class TagsResponse(Lenient):
    """Answer of `GET /api/tags`, the newest model first."""

    models: list[ListedModel]


class RunningModel(Lenient):
    """A model that is loaded."""

    name: str
    model: str
    size: int
    digest: str
    details: ModelDetails
    expires_at: str
    size_vram: int
    context_length: int


class RunningResponse(Lenient):
    """Answer of `GET /api/ps`."""

    models: list[RunningModel]


class ShowResponse(Lenient):
    """Answer of `POST /api/show`."""

    modelfile: str
    parameters: str
    template: str
    system: str
    license: str
    details: ModelDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class StatusResponse(Lenient):
    """Answer of `POST /api/create` and `POST /api/pull`; a stream has several."""

    status: str
