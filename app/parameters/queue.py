"""Owns the parameters of an engine's scheduling and idle cache; all are settings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.parameters.row import Group

row = Group("Queue", "next load", given_by={"setting"})


class QueueParams(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the queue, of steps and of idle state in memory."""

    parallel: Annotated[int, row("requests decoded in parallel", ge=1, le=64)] = 4
    max_queue: Annotated[int, row("maximum number of queued requests", ge=0, le=10_000)] = 64
    step_target_ms: Annotated[
        int,
        row(
            "milliseconds that prefill of one request may delay the next token of another",
            ge=10,
            le=10_000,
        ),
    ] = 250
    stream_interval_ms: Annotated[
        int,
        row(
            "milliseconds within which streamed tokens are sent together; "
            "0 sends each token separately",
            ge=0,
            le=1000,
        ),
    ] = 20
    idle_cache_mb: Annotated[
        int,
        row(
            "MiB of RAM for KV state of idle conversations, outside the KV cache; 0 is off",
            ge=0,
            le=2**20,
        ),
    ] = 128
    request_deadline_s: (
        Annotated[
            float,
            row("seconds a request may take in total", auto="unlimited", gt=0, le=86400),
        ]
        | None
    ) = None

    @property
    def n_seq_max(self) -> int:
        """Sequences in the KV cache: one for each request, and one to copy prompts with."""
        return self.parallel + 1
