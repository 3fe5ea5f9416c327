"""Owns which of llama.cpp's error lines says why something failed; does no I/O.

A failed load logs several: the cause first, then one for each caller that gave up over it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAX_LENGTH = 400
_MAX_READ = 1000  # names from a damaged file may be long
_FUNCTION = re.compile(r"\b(?:[A-Za-z]\w*_\w+|read): ")  # `check_tensor_dims: `
_GAVE_UP = re.compile(r"(?:error loading model: )?failed to (?:load|read) [\w -]+(?: from .*)?")
_NAMES_SOMETHING = re.compile(r"['\"`\d]|\w\.\w")  # a tensor, a number, a key
_OUT_OF_MEMORY = re.compile(r"\bstd::bad_alloc\b")


def cause(lines: Sequence[str]) -> str | None:
    """Return the line that says why, without names of functions; None without any line.

    That is the first that names something (a key, a tensor, a size), else the first that says
    more than that something failed, else the first.
    """
    plain = [_FUNCTION.sub("", line[:_MAX_READ]).strip() for line in lines]
    telling = [line for line in plain if not _GAVE_UP.fullmatch(line)]
    naming = [line for line in telling if _NAMES_SOMETHING.search(line)]
    for line in (*naming, *telling, *plain):
        return _readable(line)
    return None


def _readable(line: str) -> str:
    text = line.removeprefix("error loading model: ")
    text = _OUT_OF_MEMORY.sub("out of memory (std::bad_alloc)", text)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
