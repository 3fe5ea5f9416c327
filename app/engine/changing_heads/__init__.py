"""Owns noticing instructions that change at one place from request to request, such as by a clock.

All that follows the place is prefilled again each time. It compares the latest prompts and is told
how much of each was cached; it must not know how the prompt cache works.
"""

from app.engine.changing_heads.watch import ChangingHeads

__all__ = ["ChangingHeads"]
