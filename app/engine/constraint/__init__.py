"""Owns holding answers to grammars: the only package that imports `llguidance`.

`Compiler` turns grammars into matchers and keeps them, `Guide` says for each token of an answer
what may come next and what has to.
"""

from __future__ import annotations

from app.engine.constraint.compiler import Compiler
from app.engine.constraint.guide import Block, Guide, GuidePlan, Taken, Thinking
from app.engine.constraint.matcher import Matcher, build_tokenizer

__all__ = [
    "Block",
    "Compiler",
    "Guide",
    "GuidePlan",
    "Matcher",
    "Taken",
    "Thinking",
    "build_tokenizer",
]
