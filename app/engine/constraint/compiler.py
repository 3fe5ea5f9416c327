"""Owns the way from a grammar's text to matchers, and the ones made lately."""

from __future__ import annotations

import re
from collections import OrderedDict

from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark

from app.engine.constraint.matcher import Matcher
from app.errors import InvalidRequest

_KEPT = 32
_MOST_REASON_CHARS = 400
# At most llguidance's own; they bound what one request may cost all others.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
_PLACE = re.compile(r"^(?:at )?\d+\(\d+\): (?:failed to compile JSON schema: )?")
_QUOTED = re.compile(r"\n +\d+ \|")


class Compiler:
    """Compiles grammars for one vocabulary.

    Args:
        tokenizer: llguidance's view of the vocabulary.
    """

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._made: OrderedDict[str, Matcher] = OrderedDict()

    def matcher(self, grammar: str, param: str) -> Matcher:
        """Return a matcher at the beginning of a grammar, not to be moved but copied.

        Args:
            grammar: text as `app.chat.grammar.Grammar` writes it.
            param: the request's field that it comes from.

        Raises:
            InvalidRequest: the grammar is broken, or says what cannot be enforced.
        """
        found = self._made.pop(grammar, None)
        if found is None:
            inner = LLMatcher(
                self._tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0, limits=_LIMITS
            )
            if inner.is_error():
                raise InvalidRequest(f"{param}: {_reason(inner.get_error())}", param=param)
            found = Matcher(inner, self._tokenizer)
        self._made[grammar] = found
        if len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget what was compiled; answers that are held to it keep theirs."""
        self._made.clear()

    def lark_of(self, grammar: str, param: str) -> str:
        """Return a client's grammar, Lark or GBNF, as Lark.

        Raises:
            InvalidRequest: it is GBNF that cannot be read.
        """
        try:
            return any_to_lark(grammar)
        except Exception as error:  # the converter raises whatever comes to it
            raise InvalidRequest(f"{param}: {_reason(str(error))}", param=param) from None


def _reason(text: str) -> str:
    """Return llguidance's complaint as one line, without the lines of the grammar it quotes."""
    said = _QUOTED.split(text, maxsplit=1)[0]
    return _PLACE.sub("", " ".join(said.split()))[:_MOST_REASON_CHARS]
