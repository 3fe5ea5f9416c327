"""An error that an engine reports is answered as if it had been raised here."""

from __future__ import annotations

import pytest

from app import errors
from app.api.engine_errors import from_wire, raise_if_failed
from app.errors import DistillerError
from app.protocol import Failed, TextDelta
from app.web.errors import fault_of, status_of
from tests.web.error_samples import OF_THE_GATE, body_of, leaves, response, sample


def failed(error: DistillerError) -> Failed:
    """Return the event by which an engine reports an error."""
    retry_after_s = error.retry_after_s if isinstance(error, errors.QueueFull) else None
    overflow = error if isinstance(error, errors.ContextOverflow) else None
    return Failed(
        request_id="r",
        kind=type(error).__name__,
        message=error.message,
        param=error.param,
        retry_after_s=retry_after_s,
        requested=overflow.requested if overflow else None,
        n_ctx=overflow.n_ctx if overflow else None,
    )


@pytest.mark.parametrize("kind", [kind for kind in leaves() if kind not in OF_THE_GATE])
def test_an_error_of_the_engine_is_answered_as_if_raised_here(kind: type[DistillerError]) -> None:
    raised = sample(kind)
    found = from_wire(failed(raised))
    assert response(found) == response(raised)


def test_a_queue_that_is_full_in_the_engine_is_429_with_its_wait() -> None:
    found = from_wire(Failed(request_id="r", kind="QueueFull", message="full", retry_after_s=42))
    status, headers, body = response(found)
    assert (status, headers["Retry-After"]) == (429, "42")
    assert "42 s" in body["error"]["message"]


def test_a_full_queue_without_a_wait_is_worth_a_retry_in_a_second() -> None:
    found = from_wire(Failed(request_id="r", kind="QueueFull", message="full"))
    assert response(found)[1]["Retry-After"] == "1"


def test_a_prompt_that_is_too_long_tells_dialects_its_tokens_and_the_window() -> None:
    raised = errors.ContextOverflow(700, 512, param="prompt")
    found = from_wire(failed(raised))
    assert found.message == "Requested tokens (700) exceed context window of 512"
    fault = fault_of(found)
    assert (fault.requested, fault.n_ctx) == (700, 512)
    assert (fault.status, fault.param, fault.code) == (400, "prompt", "context_length_exceeded")


def test_a_deadline_that_passed_in_the_engine_is_504() -> None:
    late = "the request took longer than its deadline of 5 s"
    status, _, body = response(
        from_wire(Failed(request_id="r", kind="DeadlineExceeded", message=late))
    )
    assert (status, body["error"]["code"], body["detail"]) == (504, "deadline_exceeded", late)


def test_an_error_of_the_engine_keeps_the_field_at_fault() -> None:
    field = "messages[0].content"
    found = from_wire(Failed(request_id="r", kind="InvalidRequest", message="no", param=field))
    assert found.param == field


@pytest.mark.parametrize("kind", ["NewKind", "EnvironmentFailure", "Exception", ""])
def test_an_unknown_kind_of_error_is_a_failure_of_the_service(kind: str) -> None:
    found = from_wire(Failed(request_id="r", kind=kind, message="it broke"))
    assert status_of(found) == 500
    assert body_of(found)["detail"] == "it broke"
    assert body_of(found)["error"]["type"] == "server_error"


def test_a_failed_event_is_raised_and_any_other_passes() -> None:
    raise_if_failed(TextDelta(request_id="r", text="fine"))
    refused = errors.TemplateRefused("roles must alternate", param="messages")
    with pytest.raises(errors.TemplateRefused, match="roles must alternate") as raised:
        raise_if_failed(failed(refused))
    assert raised.value.param == "messages"
