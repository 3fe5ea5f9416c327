"""Owns which answers a template keeps as they were generated; must not know tokens of prompts.

A template writes an answer of the history as it likes: many leave thoughts out, or what opened
the answer. Then no later prompt begins with the generated tokens.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from app.base.json_types import JsonObject
from app.engine.prompt.conversation import Conversation
from app.engine.prompt.special_texts import Rendered
from app.errors import TemplateRefused, TemplateTooSlow
from app.protocol import PromptEnd

_MAX_KNOWN = 16
_ASKED = "probeasked"
_SAID = "probesaid"
_THOUGHT = "probethought"
_CALLED = "probecalled"
_NEXT = "probenext"
_INSTRUCTED = "probesystem"
_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": _CALLED,
        "description": "Probes.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "What."}},
            "required": ["a"],
        },
    },
}
_CALL_IDS = (
    "abcdefghi",
    "abcdefghj",
)  # nine letters or digits: the only ids that Mistral's templates take

_DATE = datetime.datetime(2024, 7, 26)

Render = Callable[[list[JsonObject], Conversation, PromptEnd, datetime.datetime], Rendered]
"""Returns the prompt of a conversation with other messages; a template may refuse them."""


@dataclass(frozen=True, slots=True)
class AnswersKept:
    """Whether the prompt of what comes next begins with a prompt and the answer to it.

    Args:
        text: with an answer that is text only, when the user goes on.
        thoughts: with one that has thoughts too, when these come back.
        calls: with one that calls tools, once their results are there.
        thoughts_of_calls: with one that has thoughts too.
    """

    text: bool = True
    thoughts: bool = True
    calls: bool = True
    thoughts_of_calls: bool = True


@dataclass(frozen=True, slots=True)
class History:
    """What later prompts keep of a prompt and the answer to it.

    Args:
        n_prompt: tokens of the prompt.
        n_history: leading tokens of the prompt that the next turn's begins with, whatever the
            answer; 0 where that was not found out.
        answers: which answers are kept as they were generated.
    """

    n_prompt: int = 0
    n_history: int = 0
    answers: AnswersKept = AnswersKept()

    @property
    def n_without_answer(self) -> int | None:
        """How many leading tokens later prompts begin with that do not have the answer."""
        return (self.n_history or self.n_prompt) or None

    def n_kept(self, *, has_thoughts: bool, has_calls: bool) -> int | None:
        """Return how many leading tokens later prompts begin with; None: with all generated ones.

        Args:
            has_thoughts: whether the answer has thoughts.
            has_calls: whether it ends in calls, which are answered next.
        """
        answers = self.answers
        if has_calls:
            is_kept = answers.thoughts_of_calls if has_thoughts else answers.calls
        elif has_thoughts:
            is_kept = answers.thoughts
        else:
            is_kept = answers.text and self.n_history in (0, self.n_prompt)
        return None if is_kept else self.n_without_answer


NO_HISTORY = History()
"""That of a raw prompt: what follows one is not known."""


def goes_on(prompt: str, written: str, said: str, *, thought: str = "", closing: str = "") -> bool:
    """Return whether a text is a prompt with an answer to it as a model generates it.

    Args:
        prompt: ends where the answer begins.
        written: has the answer, and what follows.
        said: what the answer says.
        thought: its thoughts; "" where it has none, and then none may be closed either.
        closing: ends thoughts; "" where nothing is known to.
    """
    lead, found, _ = written[len(prompt) :].partition(said)
    if not found or not written.startswith(prompt):
        return False
    return thought in lead if thought else not (closing and closing in lead)


class AnswerProbe:
    """Finds out which answers a template keeps, once for each kind of conversation.

    Args:
        render: renders small conversations.
        closing: ends thoughts in the text of an answer; "" where the model has no such tag.
    """

    def __init__(self, render: Render, closing: str) -> None:
        self._render = render
        self._closing = closing
        self._known: OrderedDict[bytes, AnswersKept] = OrderedDict()

    def answers(self, conversation: Conversation) -> AnswersKept:
        """Return which answers are kept in conversations like this one; doubt counts as kept.

        Like it are those with the same variables of the template, with tools and instructions or
        without, whose prompts end after a question or after results.
        """
        key = _key(conversation)
        known = self._known.pop(key, None)
        if known is None:
            try:
                known = self._probe(conversation)
            except TemplateTooSlow:
                return AnswersKept()
        self._known[key] = known
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    def _probe(self, conversation: Conversation) -> AnswersKept:
        begun = _begun(conversation)
        like = replace(
            conversation,
            messages=begun,
            tools=[_TOOL] if conversation.tools else [],
            prompt_end="opened",
        )
        prompt = self._written(begun, like)
        if prompt is None:
            return AnswersKept()

        def is_kept(answer: JsonObject, then: JsonObject, said: str, thought: str = "") -> bool:
            shown = {**answer, "reasoning_content": thought} if thought else answer
            written = self._written([*begun, shown, then], like)
            return written is None or goes_on(
                prompt, written, said, thought=thought, closing=self._closing
            )

        text: JsonObject = {"role": "assistant", "content": _SAID}
        asked: JsonObject = {"role": "user", "content": _NEXT}
        call, result = _calling(_CALLED, _CALL_IDS[1])
        return AnswersKept(
            text=is_kept(text, asked, _SAID),
            thoughts=is_kept(text, asked, _SAID, _THOUGHT),
            calls=is_kept(call, result, _CALLED),
            thoughts_of_calls=is_kept(call, result, _CALLED, _THOUGHT),
        )

    def _written(self, messages: list[JsonObject], like: Conversation) -> str | None:
        try:
            return self._render(messages, like, "opened", _DATE).text
        except TemplateTooSlow:
            raise
        except TemplateRefused:
            return None


def _begun(conversation: Conversation) -> list[JsonObject]:
    """Return a small conversation like this one."""
    begun: list[JsonObject] = [{"role": "user", "content": _ASKED}]
    if _has_system(conversation):
        begun.insert(0, {"role": "system", "content": _INSTRUCTED})
    if _is_after_results(conversation):
        begun.extend(_calling(_CALLED, _CALL_IDS[0]))
    return begun


def _has_system(conversation: Conversation) -> bool:
    return any(each.get("role") in ("system", "developer") for each in conversation.messages[:1])


def _is_after_results(conversation: Conversation) -> bool:
    return any(each.get("role") == "tool" for each in conversation.messages[-1:])


def _key(conversation: Conversation) -> bytes:
    kind = (_has_system(conversation), _is_after_results(conversation), bool(conversation.tools))
    shown = msgspec.msgpack.encode((conversation.template_kwargs, kind))
    return hashlib.blake2b(shown, digest_size=16).digest()


def _calling(name: str, call_id: str) -> tuple[JsonObject, JsonObject]:
    """Return a call and its result."""
    function = {"name": name, "arguments": '{"a": "b"}'}
    call = {"id": call_id, "type": "function", "function": function}
    return (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "name": name, "content": _NEXT},
    )
