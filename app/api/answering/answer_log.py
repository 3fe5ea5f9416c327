"""Owns recording an answer in the request's log line and in the metrics."""

from __future__ import annotations

from sanic import Request

from app.api.outcome import decode_per_second
from app.api.service import service_of
from app.protocol import Timings, Usage
from app.web import access_log


def note_answer(request: Request, usage: Usage, timings: Timings, finish_reason: str) -> None:
    """Add token counts and times to the request's log line and to the metrics."""
    service_of(request).metrics.count_answer(usage, timings)
    access_log.note(
        request,
        finish_reason=finish_reason,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        tier=timings.tier,
        restore_ms=timings.restore_ms,
        queue_ms=timings.queue_ms,
        ttft_ms=timings.ttft_ms,
        tokens_per_s=decode_per_second(timings),
    )
