"""Owns looking up a model's numbers in GGUF metadata; must know no architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.models.gguf import GgufError, Value, shown

MAX_LAYERS = 512
"""llama.cpp loads no model with more (`LLAMA_MAX_LAYERS`)."""


class Metadata:
    """The keys of one architecture, named without its prefix.

    Args:
        values: the metadata of a header.
        architecture: the prefix of the keys.
    """

    def __init__(self, values: Mapping[str, Value], architecture: str) -> None:
        self._values = values
        self.architecture = architecture

    def count(self, key: str, default: int = 0) -> int:
        """Return a whole number; the default where the header states none.

        Raises:
            GgufError: the value is none.
        """
        found = self.stated(key)
        return default if found is None else found

    def stated(self, key: str) -> int | None:
        """Return a whole number; None where the header states none.

        Raises:
            GgufError: the value is none.
        """
        return whole_number(self._values, f"{self.architecture}.{key}")

    def size(self, key: str, default: int = 0) -> int:
        """Return a whole number, of an array the largest; the default for everything else.

        For keys that only few architectures have, so that no model is refused for them.
        """
        value = self._values.get(f"{self.architecture}.{key}")
        items = value if isinstance(value, tuple) else (value,)
        return max((item for item in items if type(item) is int and item >= 0), default=default)

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """Return an array of truth values; None where the header has no array."""
        value = self._values.get(f"{self.architecture}.{key}")
        return tuple(map(bool, value)) if isinstance(value, tuple) else None

    def per_layer(
        self, key: str, n_layer: int, default: Sequence[int] | None = None
    ) -> tuple[int, ...]:
        """Return a number for each layer, of which a header states one for all or an array.

        No more layers than llama.cpp loads are returned; layers that an array leaves out have 0.

        Args:
            default: the numbers where the header states none; 0 for all without it.

        Raises:
            GgufError: a value is not a whole number.
        """
        full_key = f"{self.architecture}.{key}"
        n_layer = min(n_layer, MAX_LAYERS)
        value = self._values.get(full_key)
        if isinstance(value, tuple):
            counts = [item for item in value if type(item) is int and item >= 0]
            if len(counts) != len(value):
                raise GgufError(f"{shown(full_key)} contains values that are not whole numbers")
            return tuple((counts + [0] * n_layer)[:n_layer])
        every = whole_number(self._values, full_key)
        if every is None and default is not None:
            return tuple(default)
        return (every or 0,) * n_layer


def whole_number(values: Mapping[str, Value], key: str) -> int | None:
    """Return a value of 0 or more; None where there is none.

    Raises:
        GgufError: the value is not a whole number of 0 or more.
    """
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GgufError(f"{shown(key)} is not a whole number of 0 or more")
    return value
