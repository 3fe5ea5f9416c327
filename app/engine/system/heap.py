"""Owns giving freed memory back to the system; must not know what was freed."""

from __future__ import annotations

import ctypes


def give_back_memory() -> None:
    """Have the C library return what it holds for later; one that cannot is left alone."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
