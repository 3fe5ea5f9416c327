"""Owns the routes of Ollama's endpoints about models."""

from __future__ import annotations

from app.api.dialect import Dialect
from app.api.dialects.ollama_catalogue.changes import copy, delete
from app.api.dialects.ollama_catalogue.creation import create
from app.api.dialects.ollama_catalogue.listing import running, show, tags, version
from app.api.dialects.ollama_catalogue.progress import CONTENT_TYPE
from app.api.dialects.ollama_catalogue.schemas import (
    CopyRequest,
    CreateRequest,
    DeleteRequest,
    PullRequest,
    RunningResponse,
    ShowRequest,
    ShowResponse,
    StatusResponse,
    TagsResponse,
    VersionResponse,
)
from app.api.dialects.ollama_catalogue.transfers import pull, push
from app.api.dialects.ollama_catalogue.uploads import has_blob, receive_blob
from app.api.route import GUARDED, LOADS, Route
from app.api.schemas.ollama import PREFIX, STATUSES, OllamaError, ollama_error_body

_CHANGES = (*GUARDED, 404, 409, 500, 507)

DIALECT = Dialect(
    name="ollama_catalogue",
    routes=(
        Route(
            method="get",
            path="/api/version",
            handler=version,
            summary="Return the version of Ollama's interface",
            response=VersionResponse,
            error=OllamaError,
        ),
        Route(
            method="get",
            path="/api/tags",
            handler=tags,
            summary="List the models, as Ollama does",
            response=TagsResponse,
            error=OllamaError,
        ),
        Route(
            method="get",
            path="/api/ps",
            handler=running,
            summary="List the model that is loaded, as Ollama does",
            response=RunningResponse,
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/show",
            handler=show,
            summary="Describe a model, as Ollama does",
            request=ShowRequest,
            response=ShowResponse,
            errors=(*GUARDED, 404),
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/copy",
            handler=copy,
            summary="Give a model a second name",
            request=CopyRequest,
            errors=_CHANGES,
            error=OllamaError,
        ),
        Route(
            method="delete",
            path="/api/delete",
            handler=delete,
            summary="Delete a model",
            request=DeleteRequest,
            errors=_CHANGES,
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/create",
            handler=create,
            summary="Make a model of an upload or of another model, with settings",
            request=CreateRequest,
            response=StatusResponse,
            errors=(*LOADS, 409, 501),
            error=OllamaError,
            streams=True,
            stream_type=CONTENT_TYPE,
        ),
        Route(
            method="get",
            path="/api/blobs/{digest}",
            handler=has_blob,
            summary="Return whether a file with this digest is here",
            errors=(*GUARDED, 404),
            error=OllamaError,
        ),
        Route(
            method="post",
            path="/api/blobs/{digest}",
            handler=receive_blob,
            summary="Upload a file, named by its SHA-256 digest",
            errors=(*GUARDED, 500, 507),
            error=OllamaError,
            reads_body=True,
        ),
        Route(
            method="post",
            path="/api/pull",
            handler=pull,
            summary="Succeed if a model is here; there are no downloads",
            request=PullRequest,
            response=StatusResponse,
            errors=(*GUARDED, 501),
            error=OllamaError,
            streams=True,
            stream_type=CONTENT_TYPE,
        ),
        Route(
            method="post",
            path="/api/push",
            handler=push,
            summary="Refuse: models are not sent anywhere",
            request=PullRequest,
            errors=(*GUARDED, 501),
            error=OllamaError,
        ),
    ),
    error_body=ollama_error_body,
    prefix=PREFIX,
    statuses=STATUSES,
)
