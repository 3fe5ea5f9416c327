"""Owns what kind of value it is that changed between two texts: a time, a number, or just words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

ValueKind = Literal["time", "date", "identifier", "number", "state", "text"]
"""What a value is; `text` is all that is not recognised."""

_BY_PRECEDENCE: tuple[ValueKind, ...] = ("time", "date", "identifier", "number", "state")

# what stands between words; of scripts that write none between words, every character
_UNSPACED = r"\u0e00-\u0e7f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_SEPARATORS = rf"\s\"'`()\[\]{{}}<>|,;={_UNSPACED}"
_BREAKS = re.compile(rf"[{_SEPARATORS}]+|(?<!\d):|:(?!\d)|\.(?!\S)")
_WORD_END = re.compile(rf"[^{_SEPARATORS}]*\Z")
_WORD_BEGIN = re.compile(rf"[^{_SEPARATORS}]*")

_MONTHS = """
january february march april may june july august september october november december
jan feb mar apr jun jul aug sep sept oct nov dec januar februar märz mai juni juli oktober dezember
janvier février mars avril juin juillet août septembre octobre novembre décembre
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
"""
_WEEKDAYS = """
monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thurs fri sat sun
montag dienstag mittwoch donnerstag freitag samstag sonntag
lundi mardi mercredi jeudi vendredi samedi dimanche
lunes martes miércoles jueves viernes sábado domingo
"""
_STATES = """
on off open opened opening closed closing locked unlocked home away not_home idle playing paused
standby heat heating cool cooling auto dry active inactive enabled disabled true false yes no none
unknown unavailable detected clear armed disarmed triggered cleaning docked charging sunny cloudy
rainy clear-night partlycloudy above_horizon below_horizon an aus auf zu offen geschlossen
"""
_CLOCK_WORDS = "am pm a.m p.m utc gmt cet cest o'clock uhr"
_NAMES: dict[str, ValueKind] = {
    **dict.fromkeys(_CLOCK_WORDS.split(), "time"),
    **dict.fromkeys((_MONTHS + _WEEKDAYS).split(), "date"),
    **dict.fromkeys(_STATES.split(), "state"),
}
_UNIT = r"%|\u00b0[cfk]?|[a-z/\u00b5\u00b2\u00b3]{1,6}"
_PATTERNS: tuple[tuple[ValueKind, re.Pattern[str]], ...] = (
    ("time", re.compile(r"\d{4}-?\d\d-?\d\d[t_]\d\d:?\d\d\S*")),
    ("time", re.compile(r"\d{1,2}[:h]\d\d(:\d\d([.,]\d+)?)?(am|pm|h|z|[+-]\d\d:?\d\d)?")),
    ("time", re.compile(r"\d{1,2}(am|pm|h)")),
    ("time", re.compile(r"1\d{9}(\.\d+)?|1\d{12}")),  # seconds or milliseconds since 1970
    ("date", re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d\d)?")),
    ("date", re.compile(r"\d{1,2}(st|nd|rd|th)")),
    ("identifier", re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
    ("identifier", re.compile(r"(?=\D*\d\D*\d)(?=[^a-z]*[a-z])[0-9a-z_-]{10,}")),
    ("number", re.compile(rf"[-+~\u2212]?\d+([.:]\d+)*({_UNIT})?")),
)


def kind_of_change(old: str, new: str, *, before: str = "", after: str = "") -> ValueKind:
    """Return what kind of value differs between two texts.

    `text` if any word that differs is not recognised, or none does.

    Args:
        old: one text.
        new: the other one.
        before: what both follow; a number beside the name of a month is a date.
        after: what follows both.
    """
    kinds = {_kind(word) for word in _changed_words(_words(old), _words(new))}
    if kinds == {"number"}:
        beside = (*_words(before)[-2:], *_words(after)[:2])
        kinds |= {_NAMES.get(word, "number") for word in beside} & {"date", "time"}
    if "text" in kinds:
        return "text"
    return next((kind for kind in _BY_PRECEDENCE if kind in kinds), "text")


def whole_words(before: str, text: str, after: str) -> tuple[str, str]:
    """Return a part of a text, extended to whole words on both sides.

    Returns:
        How much of `before` belongs to it, and the part without what surrounds its words.
    """
    begin, end = _WORD_END.search(before), _WORD_BEGIN.match(after)
    left = begin.group() if begin and not text[:1].isspace() else ""
    right = end.group() if end and not text[-1:].isspace() else ""
    return left, (left + text + right).strip().strip(":").rstrip(".")


def _words(text: str) -> list[str]:
    return [word for word in _BREAKS.split(text.lower()) if word]


def _changed_words(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield the words that differ, of both sides."""
    if len(old) == len(new):
        for pair in zip(old, new, strict=True):
            if pair[0] != pair[1]:
                yield from pair
        return
    before, after = Counter(old), Counter(new)
    yield from before - after
    yield from after - before


def _kind(word: str) -> ValueKind:
    if word in _NAMES:
        return _NAMES[word]
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(word)), "text")
