"""Owns the timeouts of the HTTP process, in seconds; all are settings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.parameters.row import Group

now = Group("Timeouts", "now", given_by={"setting"})
next_load = Group("Timeouts", "next load", given_by={"setting"})


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """The timeouts of the HTTP process; replaced as a whole when settings are reloaded."""

    keep_alive_s: Annotated[
        float, now("keep-alive timeout of idle connections", ge=1, le=86400)
    ] = 75.0
    sse_ping_s: Annotated[
        float, now("idle time of an event stream before a keep-alive comment", gt=0, le=3600)
    ] = 15.0
    request_timeout_s: Annotated[
        float,
        now("timeout for receiving a request and for each write of a response", gt=0, le=86400),
    ] = 60.0
    resume_window_s: Annotated[
        float,
        now(
            "time that a stream with an X-Conversation-Id goes on and is kept without a reader; "
            "0 turns that off",
            ge=0,
            le=86400,
        ),
    ] = 120.0
    load_timeout_s: Annotated[float, next_load("timeout for loading a model", gt=0, le=86400)] = (
        600.0
    )
    drain_timeout_s: Annotated[
        float,
        now("drain timeout of requests when their model is unloaded for another", ge=0, le=86400),
    ] = 300.0
    engine_timeout_s: Annotated[
        float,
        next_load("time without output after which a busy engine is restarted", gt=0, le=3600),
    ] = 60.0
    stop_timeout_s: Annotated[
        float, now("drain timeout of open requests at shutdown", ge=0, le=3600)
    ] = 2.0
