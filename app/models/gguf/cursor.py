"""Owns a position in a GGUF file: every length is checked before it is used.

It must not know the layout of the file.
"""

from __future__ import annotations

from typing import BinaryIO

from app.models.gguf.values import (
    MAX_ARRAY_STRINGS,
    MAX_KEPT_BYTES,
    MAX_KEPT_ITEMS,
    MAX_KEPT_STRING_BYTES,
    MAX_KEY_BYTES,
    MAX_STRING_BYTES,
    SCALARS,
    UINT32,
    UINT64,
    GgufError,
    Scalar,
    Skipped,
    Value,
    ValueType,
)

_WINDOW_BYTES = 256 * 1024


class Cursor:
    """A position in the file, with a window of bytes around it.

    Args:
        file: opened in binary mode, seekable, positioned anywhere.
        file_size: bytes of the file; no length may exceed it.

    All methods raise `GgufError` if the bytes are invalid.
    """

    def __init__(self, file: BinaryIO, file_size: int) -> None:
        self._file = file
        self.file_size = file_size
        self._window = b""
        self._window_start = 0
        self._at = 0
        self._kept_bytes = 0
        self._array_strings = 0

    @property
    def position(self) -> int:
        """Bytes from the start of the file."""
        return self._window_start + self._at

    @property
    def remaining(self) -> int:
        """Bytes up to the end of the file."""
        return self.file_size - self.position

    def _require(self, n_bytes: int) -> None:
        if n_bytes > self.remaining:
            raise GgufError("the header runs past the end of the file; is the file complete?")

    def _fill(self, n_bytes: int) -> None:
        """Move the window so that it starts here and holds at least `n_bytes`."""
        self._require(n_bytes)
        self._window_start += self._at
        self._at = 0
        self._file.seek(self._window_start)
        self._window = self._file.read(max(n_bytes, min(_WINDOW_BYTES, self.remaining)))
        if len(self._window) < n_bytes:
            raise GgufError("the file ended while its header was read")

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes."""
        if self._at + n_bytes > len(self._window):
            self._fill(n_bytes)
        begin = self._at
        self._at += n_bytes
        return self._window[begin : self._at]

    def _skip(self, n_bytes: int) -> None:
        self._require(n_bytes)
        self._at += n_bytes

    def _keep(self, n_bytes: int) -> None:
        self._kept_bytes += n_bytes
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise GgufError(f"the metadata is larger than {MAX_KEPT_BYTES} bytes")

    def uint32(self) -> int:
        """Return the next number of 32 bits."""
        number: int = UINT32.unpack(self.take(4))[0]
        return number

    def uint64(self) -> int:
        """Return the next number of 64 bits."""
        number: int = UINT64.unpack(self.take(8))[0]
        return number

    def key(self) -> str:
        """Return the next key; it counts as kept metadata."""
        return self.name("key", MAX_KEY_BYTES, keep=True)

    def name(self, what: str, max_bytes: int, *, keep: bool = False) -> str:
        """Return the next name; `what` names it in messages."""
        length = self.uint64()
        if length > max_bytes:
            raise GgufError(f"a {what} of {length} bytes is longer than {max_bytes}")
        if keep:
            self._keep(length)
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise GgufError(f"a {what} is not valid UTF-8") from error

    def value_type(self) -> ValueType:
        """Return the type of the value that follows."""
        number = self.uint32()
        try:
            return ValueType(number)
        except ValueError as error:
            raise GgufError(f"value type {number} does not exist") from error

    def scalar_or_string(self, value_type: ValueType) -> Value:
        """Return the next value, which is no array."""
        if value_type is ValueType.STRING:
            return self._string()
        return self._scalars(value_type, 1)[0]

    def _string(self) -> str | Skipped:
        length = self.uint64()
        if length > MAX_STRING_BYTES:
            raise GgufError(f"a string of {length} bytes is longer than {MAX_STRING_BYTES}")
        if length > MAX_KEPT_STRING_BYTES:
            self._skip(length)
            return Skipped(ValueType.STRING, length, is_array=False)
        self._keep(length)
        return self.take(length).decode(errors="replace")

    def _scalars(self, value_type: ValueType, count: int) -> tuple[Scalar, ...]:
        codec = SCALARS[value_type]
        numbers = tuple(number for (number,) in codec.iter_unpack(self.take(codec.size * count)))
        if value_type is not ValueType.BOOL:
            return numbers
        if any(number > 1 for number in numbers):
            raise GgufError("a boolean is neither 0 nor 1")
        return tuple(number == 1 for number in numbers)

    def array_head(self) -> tuple[ValueType, int]:
        """Return the type and the number of the items of the next array."""
        item_type = self.value_type()
        length = self.uint64()
        if item_type is ValueType.ARRAY:
            raise GgufError("arrays within arrays are not supported")
        smallest_item = 8 if item_type is ValueType.STRING else SCALARS[item_type].size
        self._require(length * smallest_item)
        return item_type, length

    def array_items(self, item_type: ValueType, length: int) -> tuple[Scalar, ...] | Skipped:
        """Return the items; only their number if they are strings or too many."""
        if item_type is ValueType.STRING:
            self._skip_strings(length)
        elif length <= MAX_KEPT_ITEMS:
            n_bytes = length * SCALARS[item_type].size
            self._keep(n_bytes)
            return self._scalars(item_type, length)
        else:
            self._skip(length * SCALARS[item_type].size)
        return Skipped(item_type, length, is_array=True)

    def _skip_strings(self, count: int) -> None:
        """Skip strings without decoding them.

        A string that is too long ends outside the window, so bounds are checked only there.
        """
        self._array_strings += count
        if self._array_strings > MAX_ARRAY_STRINGS:
            raise GgufError(f"the arrays hold more than {MAX_ARRAY_STRINGS} strings")
        unpack_length = UINT64.unpack_from
        window, at = self._window, self._at
        last_start = len(window) - 8
        for _ in range(count):
            if at > last_start:
                self._leave_window(at)
                window, at = self._window, 0
                last_start = len(window) - 8
            at += 8 + unpack_length(window, at)[0]
        self._at = at
        self._require(0)

    def _leave_window(self, at: int) -> None:
        if at - len(self._window) > MAX_STRING_BYTES:
            raise GgufError(f"an array holds a string longer than {MAX_STRING_BYTES} bytes")
        self._at = at
        self._fill(8)
