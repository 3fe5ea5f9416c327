"""Every error has Anthropic's shape, and the type that its clients decide by."""

from __future__ import annotations

import pytest

from app import errors
from app.api.dialects.anthropic.errors import anthropic_error_body
from app.web.errors import fault_of


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.InvalidRequest("x", param="messages"), "invalid_request_error"),
        (errors.KeyRefused(is_wrong=True), "authentication_error"),
        (errors.HostRefused("x"), "permission_error"),
        (errors.ModelNotFound("x"), "not_found_error"),
        (errors.QueueFull(3), "rate_limit_error"),
        (errors.EngineDied("x"), "overloaded_error"),
        (errors.EngineUnavailable("x"), "overloaded_error"),
        (errors.DeadlineExceeded("x"), "timeout_error"),
        (errors.ModelTooLarge("x"), "api_error"),
        (RuntimeError("x"), "api_error"),
    ],
)
def test_the_type_says_what_to_do(error: Exception, kind: str) -> None:
    body = anthropic_error_body(fault_of(error))
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["error"].keys() == {"type", "message", "param"}


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_look_for() -> None:
    body = anthropic_error_body(fault_of(errors.ContextOverflow(30_000, 8192)))
    assert body["error"]["message"] == "prompt is too long: 30000 tokens > 8192 maximum"
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("code", ["thread_unsupported_request", "thread_not_found"])
def test_clients_of_stored_conversations_are_told_to_go_on_without(code: str) -> None:
    error = errors.InvalidRequest("thread: x", param="thread", code=code)
    assert anthropic_error_body(fault_of(error))["error"]["details"]["error_code"] == code
