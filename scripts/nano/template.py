"""Owns the chat template of Distiller Nano and renders it exactly as servers do."""

from __future__ import annotations

import json
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}
{{- content -}}
{%- elif content -%}
{%- for part in content -%}
{%- if part.text is defined -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- macro line(f) -%}
{#- one tool: its name, what it does, its parameters ('?': may be left out), and the call as it is written:
    a small causal network copies what follows a description more surely -#}
{{- f.name + ':' -}}
{%- if f.description -%}{{- ' ' + (f.description | string).rstrip('.') + '.' -}}{%- endif -%}
{%- set schema = f.parameters or {} -%}
{%- set needed = schema.required or [] -%}
{%- for name, spec in (schema.properties or {}).items() -%}
{{- ' ' + name + ('' if name in needed else '?') + ' ' -}}
{%- if spec.enum is defined -%}{{- spec.enum | tojson -}}
{%- elif spec.type is string and spec.type not in ('array', 'object') -%}{{- spec.type -}}
{%- else -%}{{- spec | tojson -}}{%- endif -%}
{%- if spec.description -%}{{- ' ' + (spec.description | string).rstrip('.') -}}{%- endif -%}
{{- ';' -}}
{%- endfor -%}
{{- ' => {"name": "' + f.name + '", "arguments": {' -}}
{%- for name, spec in (schema.properties or {}).items() -%}
{{- '"' + name + '": ' -}}
{%- if spec.type in ('integer', 'number') -%}0
{%- elif spec.type == 'boolean' -%}true
{%- elif spec.type == 'array' -%}[]
{%- elif spec.type == 'object' -%}{}
{%- else -%}""
{%- endif -%}
{%- if not loop.last -%}{{- ', ' -}}{%- endif -%}
{%- endfor -%}
{{- '}}\\n' -}}
{%- endmacro -%}
{%- set ns = namespace(rest=messages, system='') -%}
{%- if messages and messages[0].role in ('system', 'developer') -%}
{%- set ns.system = text(messages[0].content) -%}
{%- set ns.rest = messages[1:] -%}
{%- endif -%}
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- if ns.system -%}{{- ns.system + '\\n\\n' -}}{%- endif -%}
{{- 'Tools you can call:\\n<tools>\\n' -}}
{%- for tool in tools -%}{{- line(tool.function or tool) -}}{%- endfor -%}
{{- '</tools>\\nWhen a tool fits, call it with its name and arguments. ' -}}
{{- 'Otherwise just answer.<|im_end|>\\n' -}}
{%- elif ns.system -%}
{{- '<|im_start|>system\\n' + ns.system + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for m in ns.rest -%}
{%- if m.role == 'tool' -%}
{%- if loop.first or loop.previtem.role != 'tool' -%}{{- '<|im_start|>user' -}}{%- endif -%}
{{- '\\n<tool_response>\\n' + text(m.content) + '\\n</tool_response>' -}}
{%- if loop.last or loop.nextitem.role != 'tool' -%}{{- '<|im_end|>\\n' -}}{%- endif -%}
{%- elif m.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- set said = text(m.content) -%}
{{- said -}}
{%- for call in m.tool_calls or [] -%}
{%- set f = call.function or call -%}
{%- if said or not loop.first -%}{{- '\\n' -}}{%- endif -%}
{{- '<tool_call>\\n{"name": ' + (f.name | tojson) + ', "arguments": ' -}}
{%- if f.arguments is string -%}{{- f.arguments or '{}' -}}
{%- else -%}{{- (f.arguments or {}) | tojson -}}{%- endif -%}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + m.role + '\\n' + text(m.content) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise ValueError(message)


_env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
_env.filters["tojson"] = _tojson
_env.globals["raise_exception"] = _raise
_compiled = _env.from_string(CHAT_TEMPLATE)


def render(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    add_generation_prompt: bool = False,
) -> str:
    """Render a conversation to the text that the model reads."""
    return _compiled.render(
        messages=messages, tools=tools or None, add_generation_prompt=add_generation_prompt
    )
