"""Owns the Llama 3 way to call tools: the answer is a JSON object with name and parameters.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, Opening, Place, ToolFormat, ToolSpec
from app.chat.tool_formats.json_lists import JsonListParser
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import headed_call
from app.chat.tool_formats.syntax.json_call import JsonCallReader

PYTHON_TAG = "<|python_tag|>"
_TRIGGER = '{"name": "'
# As models write the call where they do not as they are asked to.
_AT_START = ('{"name"', '[{"name"', '{"type":"function","name"', '[{"type":"function","name"')
_OPENINGS = (
    Opening(PYTHON_TAG, ""),
    *(Opening(text, '{"name"', Place.AT_START) for text in _AT_START),
    Opening("{", "{", Place.BEHIND),
)
_ASKS = '{"name": function name, "parameters": dictionary of argument name and its value}'


class LlamaParser(JsonListParser):
    """Parses an answer that begins with a call, or has calls after `<|python_tag|>`.

    Without the tag only an object with the keys of a call counts, where its name is that of an
    offered tool; other JSON is an answer like any. See `ScriptedParser`.
    """

    openers = (PYTHON_TAG,)
    _tagged = False
    _bare: JsonCallReader | None = None

    def _run(self) -> Step[None]:
        yield from self._try_block("")
        self._tagged = True
        yield from super()._run()

    def _reader(self) -> JsonCallReader:
        if self._tagged:
            return JsonCallReader(self._n_calls)
        # Where tools are offered no longer, the conversation's calls may be imitated still.
        self._bare = JsonCallReader(self._n_calls, bare=True, names=self._offered or None)
        return self._bare

    def _begins_untagged(self, body: str) -> bool:
        del body
        return self._bare is not None and self._bare.begins_name(self._offered or ())


def _recognises(template_source: str) -> bool:
    tagged = PYTHON_TAG in template_source and '"parameters"' in template_source
    return tagged or _ASKS in template_source


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # the family makes one call an answer
    calls = [
        headed_call(grammar, tool, json.dumps(tool.name)[1:] + ', "parameters": ', "}")
        for tool in tools
    ]
    body = grammar.either(calls)
    return CallBlock(_TRIGGER, body, between="; ", only_at_start=True, openings=_OPENINGS)


FORMAT = ToolFormat(
    name="llama",
    tags=(PYTHON_TAG,),
    recognises=_recognises,
    parser=LlamaParser,
    names=IN_JSON,
    block=_block,
)
