"""Whatever a template says, it makes text within the limit or is refused, and soon."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.chat.template import chat_template
from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.sandbox import ChatSandbox
from app.errors import TemplateRefused

DEADLINE_S = 0.04
MAX_BYTES = 50_000
SECRET = "the-secret-of-the-canary"
# A deadline may strike in a destructor; it is reported then, and strikes again.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.slow,
]
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


class Canary:
    """Has a secret that only attributes with an underscore lead to."""

    def __init__(self) -> None:
        self._secret = SECRET
        self.song = "tweet"


@pytest.fixture(autouse=True, scope="module")
def guarded() -> Iterator[None]:
    """Shorten all deadlines, and watch what the sandbox takes for safe."""
    judge = ChatSandbox.is_safe_attribute

    def watched(self: ChatSandbox, obj: Any, attr: str, value: Any) -> bool:
        safe = judge(self, obj, attr, value)
        assert not (safe and attr.startswith("_")), f"{attr} can be reached"
        return safe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template, "DEADLINE_S", DEADLINE_S)
        patch.setattr(chat_template, "_PROBE_DEADLINE_S", DEADLINE_S)
        patch.setattr(ChatSandbox, "is_safe_attribute", watched)
        gc.disable()  # hypothesis has a callback there, in which no deadline is expected
        yield
        gc.enable()


def check(source: str) -> None:
    messages = [{"role": "user", "content": "Hi", "parts": [1, {"a": [2]}]}]
    began = time.monotonic()
    try:
        text = ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(
            messages,
            tools=[{"type": "function", "function": {"name": "f"}}],
            add_generation_prompt=True,
            template_kwargs={"canary": Canary()},
            deadline_s=DEADLINE_S,
            max_output_bytes=MAX_BYTES,
        )
    except TemplateRefused as refusal:
        text = refusal.message
    else:
        assert len(text.encode("utf-8", "surrogatepass")) <= MAX_BYTES
    assert SECRET not in text
    assert messages == [{"role": "user", "content": "Hi", "parts": [1, {"a": [2]}]}]
    assert time.monotonic() - began < 3, "nothing runs on after its deadline"


# ---------------------------------------------------------------- made from pieces

_ATOMS = """\
messages tools canary bos_token ns loop self varargs kwargs caller cycler joiner namespace
dict range lipsum raise_exception strftime_now tojson nothing true none m 0 1 -1 2 7 1.5 1e308
99999 10**30 2**4000 [] {} () [1,2] (1,) {'a':1} messages[0] ns.l ns.s range(9) range(99999)
'' 'a' 'ab\\n\\tc' '%s' '%999d' '%999999999d' '%*d' '{}' '{0.__class__}' '{0[_secret]}' '{:>9}'
'{:999999999}' '{x._secret}' '__class__' '_secret' 'song' 'x'*9999 'ü'*99 'upper'"""
_ATTRIBUTES = """\
__class__ __init__ __globals__ __mro__ __subclasses__ __dict__ __self__ __call__ __getitem__
_secret _Namespace__attrs _TemplateReference__context song mro gi_frame gi_code f_globals
func_globals append extend insert pop clear sort update setdefault format format_map join
replace split splitlines partition items keys values get encode translate center zfill ljust
expandtabs count index find title to_bytes bit_length fromkeys next reset current cycle
previtem changed name l s a"""
_OPERATORS = "+ - * / // % ** ~ == != < >= in and or"
ATOMS = st.sampled_from(_ATOMS.split())
ATTRIBUTES = st.sampled_from(_ATTRIBUTES.split())
OPERATORS = st.sampled_from(_OPERATORS.split())
FILTERS = st.sampled_from(sorted({*ChatSandbox().filters, "random", "unheard_of"}))
TESTS = st.sampled_from(sorted(filter(str.isidentifier, ChatSandbox().tests)))


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    positional = st.lists(inner, max_size=2).map(", ".join)
    arguments = positional | inner.map("attribute={}".format) | inner.map("*{}".format)
    return st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("({}).{}".format, inner, ATTRIBUTES),
        st.builds("({})['{}']".format, inner, ATTRIBUTES),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("({}).{}({})".format, inner, ATTRIBUTES, arguments),
        st.builds("({})({})".format, inner, arguments),
        st.builds("({} | {})".format, inner, FILTERS),
        st.builds("({} | {}({}))".format, inner, FILTERS, arguments),
        st.builds("({} | {}('{}'))".format, inner, FILTERS, ATTRIBUTES | FILTERS | TESTS),
        st.builds("({} is {})".format, inner, TESTS),
        st.builds("({} is {}({}))".format, inner, TESTS, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, _compound, max_leaves=8)
LOOPS = st.sampled_from(["range(9)", "range(99999)", "messages", "ns.l", "'abc'", "ns.s"])


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.one_of(
        st.builds("{{% for m in {} %}}{}{{% endfor %}}".format, LOOPS | EXPRESSIONS, body),
        st.builds(
            "{{% for m in {} recursive %}}{}{{{{ loop(m) }}}}{{% endfor %}}".format, LOOPS, body
        ),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, EXPRESSIONS, body, body),
        st.builds("{{% macro m(a, b=1) %}}{}{{% endmacro %}}{{{{ m() }}}}".format, body),
        st.builds("{{% call(a) m({}) %}}{}{{% endcall %}}".format, EXPRESSIONS, body),
        st.builds("{{% set ns.s %}}{}{{% endset %}}".format, body),
        st.builds("{{% filter {} %}}{}{{% endfilter %}}".format, FILTERS, body),
        st.builds("{{% with a = {} %}}{}{{% endwith %}}".format, EXPRESSIONS, body),
        st.builds("{{% generation %}}{}{{% endgeneration %}}".format, body),
    )


STATEMENTS = st.recursive(
    st.one_of(
        st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
        st.builds("{{% set ns.{} = {} %}}".format, st.sampled_from(["s", "l", "_x"]), EXPRESSIONS),
        st.builds("{{% set m = {} %}}".format, EXPRESSIONS),
        st.sampled_from(
            [
                "{% set ns.s = ns.s + ns.s %}",
                "{% set ns.s = ns.s ~ ns.s ~ 'x' %}",
                "{% set ns.l = [ns.l, ns.l] %}",
                "{% set ns.l = (ns.l, ns.l) %}",
                "{% set ns.l = ns.l + ns.l %}",
                "{% set ns.l = namespace(a=ns.l, b=ns.l) %}",
                "{% set _ = ns.l.append(ns.l) %}",
                "{% set _ = ns.l.extend(ns.l) %}",
                "{{ ns.l | tojson }}",
                "{{ {ns.l: ns.s} }}",
                "{% break %}",
                "text\n",
            ]
        ),
    ),
    _blocks,
    max_leaves=6,
)
SOURCES = st.lists(STATEMENTS, min_size=1, max_size=4).map(
    lambda parts: "{% set ns = namespace(s='x', l=[1]) %}" + "".join(parts)
)


@FUZZ
@given(SOURCES)
def test_templates_made_from_pieces(source: str) -> None:
    check(source)


@FUZZ
@given(EXPRESSIONS)
def test_expressions(source: str) -> None:
    check("{% set ns = namespace(s='x', l=[1]) %}{{ " + source + " }}")


# ---------------------------------------------------------------- changed and random ones

PLACES = st.integers(0, len(CHATML))
PIECES = st.sampled_from(
    ["{{", "}}", "{%-", "%}", "{#", "'", '"', "(", ")", "[", "|", ".", "\x00", "\ud800", "messages"]
)
EDITS = st.lists(
    st.tuples(PLACES, st.integers(0, 40), PIECES | STATEMENTS | st.text(max_size=5)),
    min_size=1,
    max_size=4,
)


@FUZZ
@given(EDITS)
def test_a_template_that_was_changed(edits: list[tuple[int, int, str]]) -> None:
    source = CHATML
    for place, n_cut, piece in edits:
        source = source[:place] + piece + source[place + n_cut :]
    check(source)


@FUZZ
@given(st.lists(PIECES | st.text(max_size=9) | EXPRESSIONS, max_size=9).map(" ".join))
def test_any_text(source: str) -> None:
    check(source)
