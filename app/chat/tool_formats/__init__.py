"""Owns the list of tool formats and choosing one for a template; one file per family.

A format is chosen by what the template contains; the first in the list that recognises it wins.
Qwen 2.5 and 3 write calls as `hermes` does, Qwen3-Coder and 3.5 as `xml.xml_functions`.
"""

from __future__ import annotations

from app.chat.tool_formats import (
    apertus,
    deepseek,
    functionary,
    gemma,
    hermes,
    json_lists,
    kimi,
    lfm2,
    llama,
    mistral,
)
from app.chat.tool_formats.base import OfferedTools, ToolFormat
from app.chat.tool_formats.channels import harmony, kimi_k3, muse, solar
from app.chat.tool_formats.xml import glm, invoke, minimax_m3, xml_functions

__all__ = ["FORMATS", "OfferedTools", "ToolFormat", "detect"]

# Those with marks that nobody else has come first, those with marks that others use too last.
FORMATS: tuple[ToolFormat, ...] = (
    harmony.FORMAT,
    muse.FORMAT,
    solar.FORMAT,
    kimi_k3.FORMAT,
    gemma.FORMAT,
    apertus.FORMAT,
    minimax_m3.FORMAT,
    mistral.CALL_IDS,
    mistral.NAMED,
    mistral.LIST,
    deepseek.R1,
    deepseek.V31,
    invoke.DEEPSEEK_V32,
    invoke.DEEPSEEK,
    invoke.MINIMAX,
    invoke.MINICPM,
    kimi.FORMAT,
    lfm2.FORMAT,
    glm.FORMAT,
    glm.HUNYUAN,
    functionary.V32,
    functionary.V31,
    xml_functions.SEED,
    xml_functions.FORMAT,
    json_lists.PHI,
    json_lists.GRANITE,
    json_lists.NEMOTRON,
    json_lists.FIREFUNCTION,
    json_lists.GIGACHAT,
    json_lists.GIGACHAT3,
    json_lists.COMMAND_R7B,
    json_lists.COMMAND_R,
    json_lists.TOOL_CALLS,
    json_lists.TOOL_CALL_LINES,
    hermes.FORMAT,
    llama.FORMAT,
)


def detect(template_source: str) -> ToolFormat | None:
    """Return the format that the template asks the model to write calls in, if known."""
    return next((known for known in FORMATS if known.recognises(template_source)), None)
