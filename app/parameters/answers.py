"""Owns the limits of the store of answers; all are settings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.parameters.row import Group

row = Group("Stored answers", "now", given_by={"setting"})


class StoreParams(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of answers that clients can ask for and go on from."""

    responses_max_mb: Annotated[
        int,
        row(
            "MiB of disk for stored responses, the least recently used go; 0 is off", ge=0, le=2**20
        ),
    ] = 64
    responses_max_days: Annotated[
        float, row("days after its last use that a response is deleted; 0 is never", ge=0, le=36500)
    ] = 30.0
