"""Owns the answer of `/api/show`: parameters, template and Modelfile as text; no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.api.dialects.ollama_catalogue.described import Described, model_info, timestamp
from app.models.card import chat_template
from app.models.gguf import Value

_NAME_WIDTH = 30
_SUFFIX_MARK = "{#- .Suffix -#}"  # clients look for this word of Ollama's templates before they
# ask for text in the middle; in a comment it changes nothing


def shown(
    described: Described, values: Mapping[str, Value], n_ctx: int, *, verbose: bool
) -> dict[str, Any]:
    """Return the description of a model.

    Args:
        values: the metadata of its header.
        n_ctx: its context window, as it is loaded or would be.
        verbose: whether arrays are shown.
    """
    settings = described.settings
    template = settings.template or chat_template(values)
    if described.card.fills_gaps and ".Suffix" not in template:
        template += _SUFFIX_MARK
    parameters = list(_parameters(described, n_ctx))
    return {
        "license": "\n".join(settings.license) or _text(values, "general.license"),
        "modelfile": _modelfile(described, template, parameters),
        "parameters": "\n".join(f"{name:<{_NAME_WIDTH}} {text}" for name, text in parameters),
        "template": template,
        "system": settings.system,
        "details": described.details,
        "model_info": model_info(values, described, verbose=verbose),
        "capabilities": described.capabilities,
        "modified_at": timestamp(described.modified_s),
    }


def _parameters(described: Described, n_ctx: int) -> Iterator[tuple[str, str]]:
    given = described.settings.parameters | {"num_ctx": n_ctx}
    for name, value in sorted(given.items()):
        for one in value if isinstance(value, list) else [value]:
            yield name, json.dumps(one, ensure_ascii=False)


def _modelfile(described: Described, template: str, parameters: list[tuple[str, str]]) -> str:
    settings = described.settings
    lines = [f"FROM {settings.parent or described.name}", f'TEMPLATE """{template}"""']
    if settings.system:
        lines.append(f'SYSTEM """{settings.system}"""')
    lines += [f"PARAMETER {name} {text}" for name, text in parameters]
    lines += [f'LICENSE """{text}"""' for text in settings.license]
    return "\n".join(lines) + "\n"


def _text(values: Mapping[str, Value], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""
