"""Owns the list of tool formats and choosing one for a template; one file per format.

A format is chosen by what the template contains; the first in the list that recognises it wins.
"""

from __future__ import annotations

from app.chat.tool_formats import hermes
from app.chat.tool_formats.base import ToolFormat

__all__ = ["FORMATS", "ToolFormat", "detect"]

FORMATS: tuple[ToolFormat, ...] = (hermes.FORMAT,)


def detect(template_source: str) -> ToolFormat | None:
    """Return the format that the template asks the model to write calls in, if known."""
    return next((known for known in FORMATS if known.recognises(template_source)), None)
