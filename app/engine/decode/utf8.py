"""Owns decoding UTF-8 that arrives in pieces: an unfinished character is held back."""

from __future__ import annotations

import codecs


class Utf8Assembler:
    """Turns pieces of bytes into text, character by character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """Return the characters that `piece` completes."""
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """Return what an unfinished character is shown as: U+FFFD, or nothing."""
        return self._decoder.decode(b"", final=True)
