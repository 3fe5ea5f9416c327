"""Owns the driver of all dialects: admission, engines, pings, hang-ups, logs and metrics."""
