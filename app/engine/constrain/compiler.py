"""Owns the way from a grammar's text to matchers, and the ones made lately."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import NamedTuple

from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark

from app.chat.grammar.lark import refusal_in
from app.engine.constrain.matcher import Matcher
from app.errors import InvalidRequest

NESTED = "@client"
"""Where a grammar has another one that a client wrote."""

_MAX_CACHED = 16
# Of texts; what is compiled holds 0.3 MB, and 35 times as much as its text (llguidance 1.x).
_MAX_CACHED_BYTES = 1024 * 1024
_MAX_REASON_CHARS = 400
# Compiling goes down a level for each rule or `$ref` that stands for another one: 4 KB each, and a
# request has room for 20,000. The main thread's 8 MB end the process at 2,000.
_STACK_BYTES = 128 * 1024 * 1024
# No limit of llguidance's counts these: an integer has a state for each remainder, 10 us apiece.
_MAX_REMAINDERS = 20_000
_MULTIPLE_OF = re.compile(r'"multipleOf"\s*:\s*([0-9][0-9.eE+-]*)')
_ESCAPED_ASCII = re.compile(r"\\u00([0-7][0-9a-fA-F])")
_MAX_DIGITS = 18
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
_NO_WAY_ON = "NoExtension"
_ONE_OF = "oneOf constraints are not supported"
_QUOTED = re.compile(r"\n +\d+ \|")

_Started = tuple[LLMatcher, str]


class _Cached(NamedTuple):
    matcher: Matcher
    n_bytes: int  # of its text


class Compiler:
    """Compiles grammars for one vocabulary.

    Args:
        tokenizer: llguidance's view of the vocabulary.
        max_bytes: texts that the grammars which are kept may have together.
    """

    def __init__(self, tokenizer: LLTokenizer, *, max_bytes: int = _MAX_CACHED_BYTES) -> None:
        self._tokenizer = tokenizer
        self._max_bytes = max_bytes
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cache)

    def matcher(self, grammar: str, param: str, *, nested: str = "") -> Matcher:
        """Return a matcher at the beginning of a grammar, not to be moved but copied.

        Args:
            grammar: text as `app.chat.grammar.lark.Grammar` writes it.
            param: the request's field that it comes from.
            nested: Lark of a grammar that `grammar` has as `NESTED`; "" where it has none.

        Raises:
            InvalidRequest: the grammar is broken, or says what cannot be enforced.
        """
        self._forget_failed()
        if nested:
            parts = [{"lark_grammar": grammar}, {"name": NESTED[1:], "lark_grammar": nested}]
            grammar = json.dumps({"grammars": parts})
        text = grammar.encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(text, digest_size=16).digest()
        found = self._cache.pop(key, None)
        if found is None:
            found = _Cached(self._compiled(grammar, param), len(text))
        if found.n_bytes <= self._max_bytes:
            self._cache[key] = found
        while len(self._cache) > _MAX_CACHED or self._n_bytes > self._max_bytes:
            self._cache.popitem(last=False)
        return found.matcher

    @property
    def _n_bytes(self) -> int:
        return sum(cached.n_bytes for cached in self._cache.values())

    def _forget_failed(self) -> None:
        """Forget grammars that grew beyond the limits in some answer, and hold much memory now."""
        for key in [key for key, cached in self._cache.items() if cached.matcher.has_failed]:
            del self._cache[key]

    def _compiled(self, grammar: str, param: str) -> Matcher:
        if refusal := refusal_in(grammar):
            raise InvalidRequest(f"{param}: {refusal}", param=param)
        if _n_remainders(grammar) > _MAX_REMAINDERS:
            reason = "multipleOf is too large a number to be enforced, or several are together"
            raise InvalidRequest(f"{param}: {reason}", param=param)
        inner, error = _with_deep_stack(lambda: self._start(grammar))
        if error:
            raise InvalidRequest(f"{param}: {_reason(error)}", param=param)
        return Matcher(inner, self._tokenizer)

    def _start(self, grammar: str) -> _Started:
        """Return a matcher, and what is wrong with it or with the first step of any answer."""
        inner = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
        if inner.is_error():
            return inner, inner.get_error()
        first = inner.deep_copy()
        first.consume_tokens(first.compute_ff_tokens())
        if not first.is_stopped():
            first.compute_bitmask()
        if not first.is_error():
            return inner, ""
        error = first.get_error()
        return inner, "no answer could meet it" if error.startswith(_NO_WAY_ON) else error

    def forget(self) -> None:
        """Forget what was compiled; answers that are held to it keep theirs."""
        self._cache.clear()

    def lark_of(self, grammar: str, param: str) -> str:
        """Return a client's grammar, Lark or GBNF, as Lark.

        Raises:
            InvalidRequest: it is GBNF that cannot be read.
        """
        try:
            return any_to_lark(grammar)
        except Exception as error:  # the converter raises whatever comes to it
            raise InvalidRequest(f"{param}: {_reason(str(error))}", param=param) from None


def _with_deep_stack(make: Callable[[], _Started]) -> _Started:
    usual = threading.stack_size(_STACK_BYTES)
    try:
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(make).result()
    finally:
        threading.stack_size(usual)


def _n_remainders(grammar: str) -> int:
    """Return how many remainders numbers of a grammar have, as multiples of several numbers."""
    plain = _ESCAPED_ASCII.sub(lambda m: chr(int(m[1], 16)), grammar)
    found = {text.rstrip(".eE+-") for text in _MULTIPLE_OF.findall(plain)}
    if not found:
        return 0
    try:
        numbers = [Decimal(text).normalize() for text in found]
    except ArithmeticError:
        return 0  # no JSON either
    places = max(0, *(-int(number.as_tuple().exponent) for number in numbers))
    if any(abs(number.adjusted()) > _MAX_DIGITS for number in numbers) or places > _MAX_DIGITS:
        return _MAX_REMAINDERS + 1
    together = math.lcm(*(int(number.scaleb(places)) for number in numbers))
    while together and together % 10 == 0:
        together //= 10
    return together


def _reason(text: str) -> str:
    """Return llguidance's complaint as one line, without the lines of the grammar it quotes."""
    said = _QUOTED.split(text, maxsplit=1)[0].removesuffix("<non-verbose/>")
    if _ONE_OF in said:
        return "oneOf cannot be enforced, as a value might fit several of its options"
    return _PLACE.sub("", " ".join(said.split()))[:_MAX_REASON_CHARS]
