"""Owns the exceptions that the project raises; must know nothing of HTTP or llama.cpp.

    DistillerError
    ├── CallerError                 the request is invalid; a retry fails again
    │   ├── InvalidRequest          a field is missing, of the wrong type or out of range
    │   ├── ContextOverflow         prompt (plus answer) does not fit the context window
    │   ├── TemplateRefused         the chat template raised an error for this conversation
    │   │   └── TemplateTooSlow     it exceeded its deadline; a faster device may succeed
    │   ├── GrammarFailed           the grammar grew too large during generation
    │   ├── ModelNotFound           the models folder has no such file
    │   ├── ModelFileRefused        a model cannot be made of what the client sent
    │   ├── ModelInUse              a model that is loaded would be changed or removed
    │   ├── AnswerNotFound          there is no such stream or stored answer, or not any more
    │   ├── LoadParamsRefused       a load parameter makes the model unloadable
    │   ├── KeyRefused              the API key is missing or invalid
    │   ├── HostRefused             the Host header does not name this server
    │   ├── OriginRefused           the request comes from a web page of another origin
    │   ├── TooManyRequests         the client has too many open requests; retry later
    │   ├── TooManyAnswers          too many answers run without a client; retry later
    │   └── QueueFull               the queue is full; retry later
    └── EnvironmentFailure          the request is valid; the service cannot serve it (now)
        ├── SettingsInvalid         a setting is invalid; the service does not start
        ├── ModelsFolderFailed      the models folder does not take a change
        │   └── ModelsFolderFull    there is no space for a model
        ├── NoModelLoaded           no model is loaded and the request names none
        ├── NotSupported            the service, or its model, lacks what is asked for
        ├── ModelLoadFailed         llama.cpp cannot load the file
        │   └── ModelTooLarge       it does not fit into memory even with the shortest context
        ├── EngineUnavailable       the engine is loading or restarting; retry later
        ├── EngineDied              the engine exited while processing the request
        ├── RequestQuarantined      the request crashes engines
        ├── DeadlineExceeded        the request took longer than the deadline setting
        └── ServiceStopping         the service is shutting down

`app/web/errors.py` maps each leaf to an HTTP status.
"""

from __future__ import annotations


class DistillerError(Exception):
    """Base class of all errors.

    Args:
        message: one sentence for the client.
        param: dotted name of the request field or setting at fault, if any.
        code: short machine-readable name; defaults to the class's.
    """

    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class CallerError(DistillerError):
    """The request is invalid; a retry fails again."""

    code = "invalid_request"


class InvalidRequest(CallerError):
    """A field is missing, of the wrong type, out of range or not supported."""

    code = "invalid_value"


class ContextOverflow(CallerError):
    """The prompt does not fit the context window.

    Args:
        requested: tokens the request needs.
        n_ctx: tokens the context window holds.
        param: the field that has the prompt.
        message: replaces the sentence that says so.
    """

    code = "context_length_exceeded"

    def __init__(
        self,
        requested: int,
        n_ctx: int,
        *,
        param: str | None = "messages",
        message: str = "",
    ) -> None:
        said = f"Requested tokens ({requested}) exceed context window of {n_ctx}"
        super().__init__(message or said, param=param)
        self.requested = requested
        self.n_ctx = n_ctx


class TemplateRefused(CallerError):
    """The model's chat template raised an error, or its output is too long."""

    code = "chat_template_error"


class TemplateTooSlow(TemplateRefused):
    """The chat template exceeded its deadline.

    Unlike its base class this says nothing about the template: the device may have been short of
    memory. It must not be cached.
    """

    code = "chat_template_too_slow"


class GrammarFailed(CallerError):
    """The request's schema or grammar grew too large while it constrained an answer."""

    code = "grammar_failed"


class ModelNotFound(CallerError):
    """The models folder has no model with that name."""

    code = "model_not_found"


class ModelFileRefused(CallerError):
    """A model cannot be made of what the client sent."""

    code = "invalid_model"


class ModelInUse(CallerError):
    """A model that is loaded would be changed or removed."""

    code = "model_in_use"


class AnswerNotFound(CallerError):
    """There is no such stream or stored answer, or not any more."""

    code = "not_found"


class LoadParamsRefused(CallerError):
    """A load parameter, such as a chat template, makes the model unloadable."""

    code = "invalid_value"


class KeyRefused(CallerError):
    """The API key is missing or invalid.

    Args:
        is_wrong: a key was sent, but it is not valid.
    """

    code = "invalid_api_key"

    def __init__(self, *, is_wrong: bool) -> None:
        problem = "The API key is invalid" if is_wrong else "An API key is required"
        super().__init__(f"{problem}; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'")
        self.is_wrong = is_wrong


class HostRefused(CallerError):
    """The Host header does not name this server, as in a DNS rebinding attack.

    Args:
        host: the header's value.
    """

    code = "host_not_allowed"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The Host header '{host[:200]}' does not name this server; "
            "add it to the setting allowed_hosts",
            param="allowed_hosts",
        )


class OriginRefused(CallerError):
    """The request comes from a web page of an origin that is not allowed.

    Args:
        origin: the Origin header's value.
    """

    code = "origin_not_allowed"

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"The origin '{origin[:200]}' is not allowed; add it to the setting cors_origins",
            param="cors_origins",
        )


class TooManyRequests(CallerError):
    """One client has too many open requests.

    Args:
        most: the limit.
    """

    code = "too_many_requests"
    retry_after_s = 1

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You already have {most} open requests (setting max_client_requests); "
            "retry when one of them has finished"
        )


class TooManyAnswers(CallerError):
    """Too many answers run without a client.

    Args:
        most: the limit.
    """

    code = "too_many_background_responses"
    retry_after_s = 1

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} responses in the background; retry when one has ended")


class QueueFull(CallerError):
    """The queue is full.

    Args:
        retry_after_s: seconds after which the client may retry.
    """

    code = "queue_full"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"Too many requests are waiting; retry in {retry_after_s} s", code=self.code
        )
        self.retry_after_s = retry_after_s


class EnvironmentFailure(DistillerError):
    """The request is valid; the service cannot serve it (now)."""

    code = "server_error"


class SettingsInvalid(EnvironmentFailure):
    """One or more settings are invalid; the message has a line for each."""

    code = "settings_invalid"


class ModelsFolderFailed(EnvironmentFailure):
    """The models folder does not take a change."""

    code = "models_dir_not_writable"


class ModelsFolderFull(ModelsFolderFailed):
    """There is no space for a model."""

    code = "insufficient_storage"


class NoModelLoaded(EnvironmentFailure):
    """No model is loaded and the request names none."""

    code = "no_model"


class NotSupported(EnvironmentFailure):
    """The service, or the model that would answer, lacks what the request asks for."""

    code = "not_supported"


class ModelLoadFailed(EnvironmentFailure):
    """The engine could not load the model file."""

    code = "model_load_failed"


class ModelTooLarge(ModelLoadFailed):
    """The model does not fit into memory even with the shortest context."""

    code = "insufficient_memory"


class EngineUnavailable(EnvironmentFailure):
    """The engine is loading or restarting.

    Args:
        retry_after_s: seconds after which the client may retry.
    """

    code = "engine_unavailable"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class EngineDied(EnvironmentFailure):
    """The engine process exited while processing this request."""

    code = "engine_died"


class RequestQuarantined(EnvironmentFailure):
    """The engine crashed more than once while processing this request."""

    code = "request_quarantined"


class DeadlineExceeded(EnvironmentFailure):
    """The request took longer than the `request_deadline_s` setting allows."""

    code = "deadline_exceeded"


class ServiceStopping(EnvironmentFailure):
    """The service is shutting down."""

    code = "service_stopping"


def reason_of(error: Exception) -> str:
    """Return the message of any exception."""
    if isinstance(error, DistillerError):
        return error.message
    return f"{type(error).__name__}: {error}"


def unforeseen(error: Exception) -> Exception | None:
    """Return the error if it is a defect, whose traceback belongs in the log; else None."""
    return None if isinstance(error, DistillerError) else error
