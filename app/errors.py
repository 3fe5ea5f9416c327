"""Owns every error the project raises on purpose; must know nothing of HTTP or llama.cpp.

    DistillerError
    ├── CallerError                 the request is wrong; sending it again changes nothing
    │   ├── InvalidRequest          a field is missing, of the wrong type or out of range
    │   ├── ContextOverflow         prompt (plus answer) does not fit the context window
    │   ├── TemplateRefused         the chat template raised on this conversation
    │   │   └── TemplateTooSlow     it was cut off; a quicker device might have had its prompt
    │   ├── GrammarFailed           an answer could not be held to the request's grammar to its end
    │   ├── ModelNotFound           no such file in the models folder
    │   ├── LoadParamsRefused       a load parameter makes the model unloadable
    │   ├── KeyRefused              no API key, or one that is not known
    │   ├── HostRefused             the Host header names another server than this one
    │   ├── OriginRefused           a web page of another server asks
    │   ├── TooManyRequests         the client has too many requests open; worth a retry
    │   └── QueueFull               too many requests wait already; worth a retry
    └── EnvironmentFailure          the request is fine; the service cannot serve it (now)
        ├── SettingsInvalid         a setting is wrong; ends the start
        ├── NoModelLoaded           nothing is loaded and nothing was named
        ├── ModelLoadFailed         llama.cpp would not load the file
        │   └── ModelTooLarge       there is no memory for it, however short its context
        ├── EngineUnavailable       the engine is loading or restarting; worth a retry
        ├── EngineDied              the engine ended while it worked on the request
        ├── RequestQuarantined      engines end when they work on this request
        ├── DeadlineExceeded        the request took longer than the deadline setting
        └── ServiceStopping         the service is shutting down

The HTTP status of each leaf stands in one table in `app/web/errors.py`.
"""

from __future__ import annotations


class DistillerError(Exception):
    """Root of the tree.

    Args:
        message: one sentence for the person who made the request.
        param: dotted name of the request field or setting at fault, where there is one.
        code: short machine-readable name; each leaf has a default.
    """

    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class CallerError(DistillerError):
    """The request is wrong; repeating it changes nothing."""

    code = "invalid_request"


class InvalidRequest(CallerError):
    """A field is missing, of the wrong type, out of range or not supported."""

    code = "invalid_value"


class ContextOverflow(CallerError):
    """The prompt does not fit the context window.

    Args:
        requested: tokens the request needs.
        n_ctx: tokens the context window holds.
    """

    code = "context_length_exceeded"

    def __init__(self, requested: int, n_ctx: int) -> None:
        super().__init__(
            f"Requested tokens ({requested}) exceed context window of {n_ctx}", param="messages"
        )


class TemplateRefused(CallerError):
    """The model's chat template raised, ran too long or wrote too much."""

    code = "chat_template_error"


class TemplateTooSlow(TemplateRefused):
    """The chat template was cut off by its deadline.

    Unlike a refusal this tells nothing of the template: the device may have been short of memory.
    Nothing that outlives the request may be concluded from it.
    """

    code = "chat_template_too_slow"


class GrammarFailed(CallerError):
    """The request's schema or grammar grew too large while an answer was held to it."""

    code = "grammar_failed"


class ModelNotFound(CallerError):
    """No model file of that name lies in the models folder."""

    code = "model_not_found"


class LoadParamsRefused(CallerError):
    """A load parameter, such as a chat template, makes the model unloadable."""

    code = "invalid_value"


class KeyRefused(CallerError):
    """An API key is needed.

    Args:
        is_wrong: a key was shown, but it is none of those that are known.
    """

    code = "invalid_api_key"

    def __init__(self, *, is_wrong: bool) -> None:
        asked = "send one as 'Authorization: Bearer KEY'"
        super().__init__(
            f"The API key is not known; {asked}" if is_wrong else f"An API key is needed; {asked}"
        )
        self.is_wrong = is_wrong


class HostRefused(CallerError):
    """The Host header is not one of this server's names, as after DNS rebinding.

    Args:
        host: the header, as it was sent.
    """

    code = "host_not_allowed"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The Host header '{host[:200]}' is no name of this server; "
            "the setting allowed_hosts can add it",
            param="allowed_hosts",
        )


class OriginRefused(CallerError):
    """A web page of another server asks, and the settings do not let it.

    Args:
        origin: the Origin header, as it was sent.
    """

    code = "origin_not_allowed"

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"Web pages of '{origin[:200]}' may not use this server; "
            "the setting cors_origins can let them",
            param="cors_origins",
        )


class TooManyRequests(CallerError):
    """One client has as many requests open as the settings let it.

    Args:
        most: how many that is.
    """

    code = "too_many_requests"
    retry_after_s = 1

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} requests open already (setting max_client_requests); "
            f"try again when one of them is answered"
        )


class QueueFull(CallerError):
    """As many requests wait as the queue holds.

    Args:
        retry_after_s: seconds after which a retry is worth it.
    """

    code = "queue_full"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"Too many requests are waiting; try again in {retry_after_s} s", code=self.code
        )
        self.retry_after_s = retry_after_s


class EnvironmentFailure(DistillerError):
    """The request is fine; the service cannot serve it (now)."""

    code = "server_error"


class SettingsInvalid(EnvironmentFailure):
    """One or more settings are wrong; the message has a line for each."""

    code = "settings_invalid"


class NoModelLoaded(EnvironmentFailure):
    """No model is loaded and the request names none."""

    code = "no_model"


class ModelLoadFailed(EnvironmentFailure):
    """The engine could not load the model file."""

    code = "model_load_failed"


class ModelTooLarge(ModelLoadFailed):
    """The model does not fit into memory, not even with the shortest context."""

    code = "insufficient_memory"


class EngineUnavailable(EnvironmentFailure):
    """The engine is loading or restarting.

    Args:
        retry_after_s: seconds after which a retry is worth it.
    """

    code = "engine_unavailable"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class EngineDied(EnvironmentFailure):
    """The engine process ended while it worked on this request."""

    code = "engine_died"


class RequestQuarantined(EnvironmentFailure):
    """The engine ended more than once while it worked on this request."""

    code = "request_quarantined"


class DeadlineExceeded(EnvironmentFailure):
    """The request took longer than the `request_deadline_s` setting allows."""

    code = "deadline_exceeded"


class ServiceStopping(EnvironmentFailure):
    """The service is shutting down."""

    code = "service_stopping"


def reason_of(error: Exception) -> str:
    """Return in a sentence what went wrong, also where nobody foresaw it."""
    if isinstance(error, DistillerError):
        return error.message
    return f"{type(error).__name__}: {error}"


def unforeseen(error: Exception) -> Exception | None:
    """Return the error if the project did not raise it: then the log needs its traceback."""
    return None if isinstance(error, DistillerError) else error
