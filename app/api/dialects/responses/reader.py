"""Owns reading requests of the Responses dialect into commands; no I/O, no Sanic."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.api.chat.commands import Chat, chat_of, to_generate
from app.api.dialect import Ask, ServedModel
from app.api.dialects.responses.conversation import messages_of
from app.api.dialects.responses.output import Output, ReasoningForm
from app.api.dialects.responses.response import response_body
from app.api.dialects.responses.schemas import ResponsesRequest
from app.api.dialects.responses.tools import Toolbox, choice_for_chat
from app.api.dialects.responses.writer import ResponsesWriter, nothing
from app.api.schemas.sampling import SamplingFields
from app.base.json_types import JsonObject
from app.errors import InvalidRequest
from app.protocol import Generate
from app.web.json_body import parse

_PARAMS = {
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "top_logprobs",
    "response_format.json_schema.schema": "text.format.schema",
}
_OFFERED = re.compile(r"tools\[(\d+)\](?:\.function)?(.*)")


WriterOf = Callable[[JsonObject, Output, Callable[[JsonObject], None]], ResponsesWriter]


@dataclass(frozen=True, slots=True)
class Reading:
    """A request, validated on its own: what earlier responses say is not part of it.

    Args:
        body: the request.
        toolbox: its tools.
    """

    body: ResponsesRequest
    toolbox: Toolbox

    @property
    def items(self) -> list[JsonObject]:
        """The items of its input."""
        return self.body.items


def reading_of(body: bytes) -> Reading:
    """Read a request.

    Raises:
        InvalidRequest: malformed JSON or an invalid field, which `param` names.
    """
    request = parse(body, ResponsesRequest)
    return Reading(request, Toolbox(request.tools or []))


def refuse_unknown(body: ResponsesRequest) -> None:
    """Refuse references to what this service does not keep.

    Raises:
        InvalidRequest: a field refers to such.
    """
    for name in ("conversation", "prompt"):
        if getattr(body, name) is not None:
            raise InvalidRequest(f"{name}: is not supported; send the items as input", param=name)


def ask_of(
    reading: Reading,
    *,
    history: Sequence[JsonObject] = (),
    is_stored: bool = False,
    on_end: Callable[[JsonObject], None] = nothing,
    writer_of: WriterOf = ResponsesWriter,
    is_streamed: bool | None = None,
) -> Ask:
    """Return what the driver needs to answer a request.

    Args:
        reading: the request.
        history: items of earlier responses, inputs and outputs, the oldest first.
        is_stored: whether the response is kept.
        on_end: gets the response object once it has ended, complete, incomplete or failed.
        writer_of: returns the writer of a response object.
        is_streamed: whether the answer is streamed; None is as the request says.

    Raises:
        InvalidRequest: an item is invalid; `param` names it.
    """
    body, chat = reading.body, chat_for(reading, history)
    response_id = f"resp_{secrets.token_hex(24)}"
    form = ReasoningForm(as_summary=body.shows_summary, encrypts=body.encrypts_reasoning)

    def writer(model: ServedModel, commands: Sequence[Generate]) -> ResponsesWriter:
        begun = response_body(response_id, body, model, commands[0], is_stored=is_stored)
        return writer_of(begun, Output(reading.toolbox, form), on_end)

    return Ask(
        reply_id=response_id,
        model=body.model,
        overrides={},
        stream=bool(body.stream if is_streamed is None else is_streamed),
        commands=lambda model: [to_generate(chat.data, chat.body, response_id, model)],
        writer=writer,
    )


def chat_for(reading: Reading, history: Sequence[JsonObject] = ()) -> Chat:
    """Return the chat request that a request maps to.

    Args:
        reading: the request.
        history: items of earlier responses, inputs and outputs, the oldest first.

    Raises:
        InvalidRequest: an item or a value is invalid; `param` is this dialect's.
    """
    body, toolbox = reading.body, reading.toolbox
    items = [*history, *reading.items]
    fields = body.model_dump(include=set(SamplingFields.model_fields), exclude_none=True)
    fields["messages"] = messages_of(items, body.instructions, toolbox, n_earlier=len(history))
    fields["reasoning_format"] = "auto"
    fields["stream"] = bool(body.stream)
    if body.model is not None:
        fields["model"] = body.model
    if body.max_output_tokens is not None:
        fields["max_tokens"] = body.max_output_tokens
    if body.reasoning and body.reasoning.effort:
        fields["reasoning_effort"] = body.reasoning.effort
    if body.n_logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": body.n_logprobs}
    if toolbox.functions:
        fields["tools"] = toolbox.functions
        fields["parallel_tool_calls"] = body.parallel_tool_calls is not False
    choice = choice_for_chat(body.tool_choice, toolbox)
    if choice is not None:
        fields["tool_choice"] = choice
    if (form := _response_format(body)) and not _is_required(choice):
        fields["response_format"] = form
    return chat_of(fields, lambda param: param_of(param, toolbox))


def _is_required(choice: object) -> bool:
    """Return whether the answer has to be calls, so that it has no text to hold to a form."""
    if not isinstance(choice, dict):
        return choice == "required"
    return choice["type"] == "function" or choice.get("mode") == "required"


def _response_format(body: ResponsesRequest) -> JsonObject | None:
    form = body.text.format if body.text else None
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {"type": "json_object"}
    schema = {"schema": form.schema_, "strict": form.strict is True}
    return {"type": "json_schema", "json_schema": schema}


def param_of(param: str, toolbox: Toolbox) -> str:
    """Return this dialect's name of a field of the chat request."""
    if param.startswith("messages"):
        return "input"
    if (offered := _OFFERED.fullmatch(param)) and int(offered[1]) < len(toolbox.tools):
        return toolbox.tools[int(offered[1])].place + offered[2]
    if param.startswith("response_format") and param not in _PARAMS:
        return "text.format"
    return _PARAMS.get(param, param)
