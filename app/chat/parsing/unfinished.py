"""Owns telling a call that an answer ends in from text that only looks like its beginning.

Pure; must not know any format.
"""

from __future__ import annotations

import re

_MENTION = re.compile(r"\s*[^\s<\"]*\s*")


def begins_call(body: str, *, is_cut: bool, mentions: bool) -> bool:
    """Return whether a block that nothing contradicts is a call, though it has no whole name.

    An answer that ends by itself behind an opening tag, or one word later, mentions that tag.

    Args:
        body: what was written behind the whole opening tag, up to the end of the answer.
        is_cut: a limit or a stop string ended the answer.
        mentions: the answer is text so far, and may speak of the tag.
    """
    return is_cut or not mentions or _MENTION.fullmatch(body) is None


def begins_tag(part: str, *, is_cut: bool, has_said: bool) -> bool:
    """Return whether the beginning of a tag, with which an answer ends, is to become that tag.

    Only an answer that was cut has such an end. One character behind other text, as in `x <`, and
    a tag that begins as words do may be text as well.

    Args:
        part: the beginning of the tag.
        is_cut: a limit or a stop string ended the answer.
        has_said: text came before it.
    """
    return is_cut and bool(part) and not part[:1].isalnum() and (len(part) > 1 or not has_said)
