"""Owns the chat templates of random models, one in the manner of each family that is measured.

They differ in what a cache has to live with: the system prompt as a turn of its own or inside the
first user turn, thoughts that the history leaves out, a thought that the prompt opens already.
"""

from __future__ import annotations

import re

# As published models do it, the end of a thought is followed by an empty line.
THOUGHT_END = "\n</think>\n\n"
_SPECIAL = re.compile(r"<\|[a-z_]+\|>|</?(?:think|tool_call|tool_response)>|<[a-z]+_of_turn>")

# Set before it: `begin`, `middle` and `end` of a turn; `model_role`; `has_system_turn`; and
# `thoughts`, which are "kept" with the text, "dropped" before the last question, or "opened" by
# the prompt and dropped.
_BODY = """\
{%- set ns = namespace(question=-1, system="") -%}
{%- for message in messages -%}
  {%- if message.role == "user" -%}{%- set ns.question = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- if messages[0].role == "system" -%}{%- set ns.system = messages[0].content -%}{%- endif -%}
{%- if tools -%}
  {%- set ns.system = ns.system + "\\n\\nThese are your tools, as JSON:\\n<tools>" -%}
  {%- for tool in tools -%}
    {%- set ns.system = ns.system + "\\n" + tool | tojson -%}
  {%- endfor -%}
  {%- set ns.system = ns.system + "\\n</tools>\\nTo call one, write:\\n<tool_call>\\n" -%}
  {%- set ns.system = ns.system + '{"name": "the name", "arguments": {"of": "the call"}}' -%}
  {%- set ns.system = ns.system + "\\n</tool_call>" -%}
{%- endif -%}
{%- if ns.system and has_system_turn -%}
  {{- begin + "system" + middle + ns.system + end -}}
{%- endif -%}
{%- for message in messages -%}
  {%- if message.role != "system" -%}
    {{- begin + (model_role if message.role == "assistant" else message.role) + middle -}}
    {%- if ns.system and not has_system_turn -%}
      {{- ns.system + "\\n\\n" -}}
      {%- set ns.system = "" -%}
    {%- endif -%}
    {%- if message.role == "assistant" and thoughts != "kept" and loop.index0 > ns.question -%}
      {%- if thoughts == "opened" or message.reasoning_content -%}
        {{- "<think>\\n" + (message.reasoning_content or "") | trim + "\\n</think>\\n\\n" -}}
      {%- endif -%}
    {%- endif -%}
    {{- message.content or "" -}}
    {%- for call in message.tool_calls or [] -%}
      {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
      {{- call.function.arguments | tojson -}}
      {{- "}\\n</tool_call>" -}}
    {%- endfor -%}
    {{- end -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- begin + model_role + middle -}}
  {%- if thoughts == "opened" -%}{{- "<think>\\n" -}}{%- endif -%}
{%- endif -%}
"""


def _template(
    begin: str,
    middle: str,
    end: str,
    *,
    thoughts: str = "kept",
    model_role: str = "assistant",
    has_system_turn: bool = True,
) -> str:
    texts = {"begin": begin, "middle": middle, "end": end}
    texts |= {"thoughts": thoughts, "model_role": model_role}
    lines = [f'{{%- set {name} = "{text}" -%}}\n' for name, text in texts.items()]
    lines.append(f"{{%- set has_system_turn = {str(has_system_turn).lower()} -%}}\n")
    return "".join(lines) + _BODY


_CHATML = ("<|im_start|>", "\\n", "<|im_end|>\\n")
TEMPLATES = {
    "qwen3": _template(*_CHATML, thoughts="dropped"),
    "lfm2": _template(*_CHATML),
    "gemma3": _template(
        "<start_of_turn>",
        "\\n",
        "<end_of_turn>\\n",
        model_role="model",
        has_system_turn=False,
    ),
    "qwen35": _template(*_CHATML, thoughts="opened"),
    "granitehybrid": _template("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\\n"),
}


def special_tokens(template: str) -> list[str]:
    """Return the tokens, of those that published models have, that a template writes."""
    return list(dict.fromkeys(_SPECIAL.findall(template)))


def end_of_turn(template: str) -> str:
    """Return the token that ends a turn."""
    known = ("<end_of_turn>", "<|end_of_text|>", "<|im_end|>")
    return next((token for token in known if token in template), known[-1])
