"""Owns the service's log lines: their form, their fields and where they go."""

from app.logs.setup import LogLevel, bound, configure, get_logger

__all__ = ["LogLevel", "bound", "configure", "get_logger"]
