"""Reasoning that was signed here is told from any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.anthropic.signatures import Signer

SIGNER = Signer(b"a")


@given(st.text(), st.text())
def test_a_signature_is_of_one_text_and_one_key(thoughts: str, other: str) -> None:
    signature = SIGNER.sign(thoughts)
    assert signature.isascii()
    assert SIGNER.verifies(thoughts, signature)
    assert not Signer(b"b").verifies(thoughts, signature)
    assert not SIGNER.verifies(thoughts, other)
    assert SIGNER.verifies(other, signature) == (other == thoughts)


def test_half_a_surrogate_pair_is_no_error() -> None:
    assert SIGNER.verifies("\ud83d", SIGNER.sign("\ud83d"))
    assert not SIGNER.verifies("a", "\ud83d")
