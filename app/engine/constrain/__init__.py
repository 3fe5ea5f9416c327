"""Owns holding answers to grammars: the only package that imports `llguidance`.

`Compiler` turns grammars into matchers and keeps them, `Guide` says for each token of an answer
what may come next and what has to.
"""

from __future__ import annotations

from app.engine.constrain.compiler import Compiler
from app.engine.constrain.guide import Guide
from app.engine.constrain.matcher import Matcher, build_tokenizer
from app.engine.constrain.plan import (
    Block,
    GuidedTokens,
    GuidePlan,
    MessageThinking,
    ThinkingPlan,
)

__all__ = [
    "Block",
    "Compiler",
    "Guide",
    "GuidePlan",
    "GuidedTokens",
    "Matcher",
    "MessageThinking",
    "ThinkingPlan",
    "build_tokenizer",
]
