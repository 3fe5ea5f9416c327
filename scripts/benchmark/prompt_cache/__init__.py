"""Owns what `scripts/bench cache` measures: the prompt cache with five architectures.

`talk.py` asks and counts, `bench.py` starts servers, `counted.py`, `stored.py` and `loaded.py` hold
the scenarios, `targets.py` the bounds, `rows.py` the table.
"""
