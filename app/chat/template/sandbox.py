"""Owns the jinja2 environment that untrusted chat templates run in, and its limits on size.

Must not know conversations. jinja2's sandbox keeps a template away from the interpreter; what
is added here bounds how much text and how many list items a template can make: each value on
its own, and everything one rendering makes together. This is a fence and no wall: what it lets
through is the deadline's, and in the end the business of whoever watches the process.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from app.chat.template.helpers import GenerationTag, raise_exception, sum_numbers, to_json
from app.chat.template.sandbox_code import BoundedCode
from app.chat.template.sandbox_lists import CHANGING, OwnList, may_change, n_added

MAX_VALUE_CHARS = 8 * 1024 * 1024
MAX_WORK_CHARS = 128 * 1024 * 1024  # of all values made while one conversation renders
MAX_WIDTH = 100_000
_MAX_INT_BITS = 4096
_MAX_INT_CHARS = 10_000
_ITEM_CHARS = 8  # what a list item counts

# Not in any published chat template, and each can make much of little.
_REMOVED_FILTERS = (
    "batch", "filesizeformat", "forceescape", "pprint", "random", "slice", "urlize", "wordwrap",
    "xmlattr",
)  # fmt: skip
_WEIGHED_FILTERS = (
    "capitalize", "center", "dictsort", "e", "escape", "format", "groupby", "indent", "lower",
    "max", "min", "safe", "sort", "string", "striptags", "title", "tojson", "trim", "truncate",
    "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
_COLLECTING_FILTERS = ("groupby", "list", "max", "min", "sort", "tojson", "unique")
_NO_WIDTH_FILTERS = ("d", "default", "abs", "sum", "join", "replace")
_COMPARING_TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "eq", "equalto", "filter", "ge", "greaterthan", "gt", "in",
    "le", "lessthan", "lt", "ne", "test",
)  # fmt: skip
_BYTE_METHODS = frozenset({"encode", "translate", "to_bytes", "from_bytes"})
_NESTED_SPEC = re.compile(r"\{[^{}]*:[^{}]*(\{|\d{6})")
_WIDE_PERCENT = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*(\*|\d{6})")


def _refuse(what: str) -> OverflowError:
    return OverflowError(f"{what} is larger than a chat template may make")


def _listed(value: Any) -> Any:
    """Return the items of a generator as a list, which can be weighed; else the value."""
    return list(value) if isinstance(value, GeneratorType) else value


def weigh(value: Any) -> int:
    """Return about how many characters `value` is when written out; raise beyond the limit."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        total += 1
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
        elif isinstance(item, Namespace):
            waiting.append(item._Namespace__attrs)
        if total + len(waiting) > MAX_VALUE_CHARS:
            raise _refuse("a value")
    return total


class ChatSandbox(ImmutableSandboxedEnvironment):
    """The environment of one chat template; renders one conversation at a time.

    `start()` opens the account of a rendering; every operation that makes text or lists is
    charged to it and raises OverflowError when a value or the account is too large.

    Unlike jinja2's immutable sandbox, lists that the template itself made may grow: Kimi-K2's
    templates keep a queue so. Nothing that comes from a caller can be changed.
    """

    code_generator_class = BoundedCode
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
            finalize=self.checked,
        )
        self._spent_chars = 0
        self.globals.pop("lipsum", None)
        self.globals["raise_exception"] = raise_exception
        for name in _REMOVED_FILTERS:
            self.filters.pop(name, None)
        self.filters.update(tojson=to_json, replace=self._replace, join=self._join, sum=sum_numbers)
        for name, function in list(self.filters.items()):
            self.filters[name] = self._bounded_filter(name, function)
        for name in _COMPARING_TESTS:
            self.tests[name] = self._bounded_test(self.tests[name])
        self.globals["tojson"] = self.filters["tojson"]

    def start(self) -> None:
        """Forget what the last rendering was charged."""
        self._spent_chars = 0

    def charge(self, value: Any) -> Any:
        """Count a value that was made, and return it."""
        if isinstance(value, str):
            self._charge(len(value))
        elif isinstance(value, list | tuple):
            self._charge(len(value) * _ITEM_CHARS)
        return value

    @staticmethod
    def checked(value: Any) -> Any:
        """Return a value that is about to be written out or compared, if it is not too large."""
        if isinstance(value, list | tuple | dict | set | Namespace):
            weigh(value)
        return value

    def own_list(self, items: Iterable[Any]) -> OwnList:
        """Return items as a list that the template may change."""
        made: OwnList = self.charge(OwnList(items))
        return made

    def concat(self, parts: Iterable[str]) -> str:
        """Join pieces of text: macros, set-blocks and the like."""
        texts = list(parts)
        self._charge(sum(map(len, texts)))
        return "".join(texts)

    def concat_values(self, values: tuple[Any, ...]) -> str:
        """Compute `a ~ b`."""
        return self.concat(str(self.checked(value)) for value in values)

    def call(  # noqa: D102
        self: ChatSandbox, context: Context, function: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        owner = getattr(function, "__self__", None)
        if not isinstance(function, Macro):
            args = tuple(map(_listed, args))
            for argument in (*args, *kwargs.values()):
                self.checked(argument)  # what is called may write it out, compare or hash it
        if type(owner) is OwnList and function.__name__ in CHANGING:
            self._grow(owner, function.__name__, args)
        elif isinstance(owner, list | tuple):
            weigh(owner)  # index and count compare
        if isinstance(owner, str):
            if function.__name__ == "join" and args:
                args = (list(args[0]),)
                self._check_join(owner, args[0])
            elif function.__name__ == "replace" and len(args) >= 2:
                self._check_replace(owner, *args[:2])
            self._check_widths(owner, (*args, *kwargs.values()))
        return self.charge(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: D102
        if operator == "%" and isinstance(left, str):
            self._check_percent(left, right)
        elif operator == "*":
            self._check_product(left, right)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > _MAX_INT_BITS:
                raise _refuse("a number")
        elif operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            self._check_size(len(left) + len(right))
        result = super().call_binop(context, operator, left, right)
        return self.own_list(result) if type(result) is list else self.charge(result)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: D102
        return super().getitem(obj, self.checked(argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: D102
        if attr in _BYTE_METHODS and isinstance(obj, str | int):
            return False
        if may_change(obj, attr):
            return True
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:  # noqa: D102
        if attribute.startswith("_"):
            kind = type(obj).__name__
            raise SecurityError(f"access to attribute {attribute!r} of {kind!r} object is unsafe.")
        return super().unsafe_undefined(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: D102
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text: str = value.__self__

        def bounded_format(*args: Any, **kwargs: Any) -> str:
            if _NESTED_SPEC.search(text):
                raise _refuse("a format width")
            self._check_size(len(text) + text.count("{") * weigh((args, kwargs)))
            return wrapped(*args, **kwargs)

        return bounded_format

    def _bounded_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        checks_width = name not in _NO_WIDTH_FILTERS
        weighs = name in _WEIGHED_FILTERS
        collects = name in _COLLECTING_FILTERS

        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            for argument in args[1:]:
                self.checked(argument)  # the name of another filter is looked up
            if checks_width:
                self._check_widths("", (*args[1:], *kwargs.values()))
            if collects:
                args = tuple(map(_listed, args))
            if name == "int" and isinstance(args[0], str) and len(args[0]) > _MAX_INT_CHARS:
                raise _refuse("a number")
            if weighs:
                self._check_size(sum(weigh(arg) for arg in args))
            if name == "indent":
                self._check_indent(*args, **kwargs)
            if name == "format":
                self._check_percent(str(args[0]), (args[1:], kwargs))
            result = function(*args, **kwargs)
            return self.own_list(result) if type(result) is list else self.charge(result)

        return bounded

    def _bounded_test(self, test: Any) -> Callable[..., Any]:
        @functools.wraps(test)
        def bounded(*args: Any) -> Any:
            return test(*map(self.checked, args))

        return bounded

    def _grow(self, owner: OwnList, method: str, args: tuple[Any, ...]) -> None:
        n_new = n_added(owner, method, args[0] if args else ())
        self._check_size((len(owner) + n_new) * _ITEM_CHARS)
        self._charge(n_new * _ITEM_CHARS)

    def _charge(self, n_chars: int) -> None:
        self._check_size(n_chars)
        self._spent_chars += n_chars
        if self._spent_chars > MAX_WORK_CHARS:
            raise _refuse("the text of all steps together")

    @staticmethod
    def _check_size(n_chars: int) -> None:
        if n_chars > MAX_VALUE_CHARS:
            raise _refuse("a value")

    def _check_widths(self, text: str, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            if isinstance(argument, int) and abs(argument) > MAX_WIDTH:
                raise _refuse("a width")
            if isinstance(argument, int) and "\t" in text:
                self._check_size(text.count("\t") * argument)

    def _check_percent(self, text: str, values: Any) -> None:
        if _WIDE_PERCENT.search(text):
            raise _refuse("a format width")
        self._check_size(len(text) + text.count("%") * weigh(values))

    def _check_indent(self, text: Any, width: Any = 4, *_args: Any, **_kwargs: Any) -> None:
        if not isinstance(text, str):
            raise TypeError("indent takes text only")  # jinja2 would add to a caller's list
        step = width if isinstance(width, int) else len(str(width))
        self._check_size(text.count("\n") * step)

    def _check_product(self, left: Any, right: Any) -> None:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                self._check_size(len(sequence) * times)
                return
        both_whole = isinstance(left, int) and isinstance(right, int)
        if both_whole and left.bit_length() + right.bit_length() > _MAX_INT_BITS:
            raise _refuse("a number")

    def _check_replace(self, text: str, old: str, new: str) -> None:
        self._check_size(len(text) + text.count(old) * len(new))

    def _check_join(self, separator: str, items: list[Any]) -> None:
        self._check_size(sum(weigh(item) + len(separator) for item in items))

    def _replace(self, text: Any, old: Any, new: Any, count: int | None = None) -> str:
        subject, old, new = str(self.checked(text)), str(old), str(new)
        self._check_replace(subject, old, new)
        return subject.replace(old, new, -1 if count is None else count)

    def _join(self, value: Any, d: Any = "", attribute: str | int | None = None) -> str:
        items = list(value)
        if attribute is not None:
            items = list(map(make_attrgetter(self, attribute), items))
        texts = [str(self.checked(item)) for item in items]
        self._check_join(str(d), texts)
        return str(d).join(texts)
