"""Owns the tools of a request: functions, custom tools with their grammars, and namespaces."""

from app.api.dialects.responses.tools.toolbox import (
    CUSTOM_ARGUMENT,
    Tool,
    Toolbox,
    choice_for_chat,
    custom_arguments,
    name_for_model,
)

__all__ = [
    "CUSTOM_ARGUMENT",
    "Tool",
    "Toolbox",
    "choice_for_chat",
    "custom_arguments",
    "name_for_model",
]
