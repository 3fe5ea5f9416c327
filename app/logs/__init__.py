"""Owns logging: the format, fields and destination of log records."""

from app.logs.setup import LogLevel, bound, configure, get_logger

__all__ = ["LogLevel", "bound", "configure", "get_logger"]
