"""Owns the parameters of the prompt cache on disk; all are settings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.parameters.row import Group

row = Group("Prompt cache", "next start", given_by={"setting"})


class CacheParams(msgspec.Struct, frozen=True, kw_only=True):
    """The folder and the limits of the disk tier.

    Without a `folder` there is no disk tier; `refused` is the reason if one is configured.
    """

    folder: str = ""
    disk_cache_mb: Annotated[
        int, row("MiB of disk for cached prompts, all models together; 0 is off", ge=0, le=2**24)
    ] = 2048
    disk_daily_write_mb: Annotated[
        int, row("MiB written to disk per day; 0 is unlimited", ge=0, le=2**24)
    ] = 4096
    disk_save_after_s: Annotated[
        float, row("seconds a conversation is idle before it is written to disk", ge=0, le=3600)
    ] = 2.0
    refused: str = ""
