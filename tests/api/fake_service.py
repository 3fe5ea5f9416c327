"""Owns starting the real service with `tests.host.fake_engine` in the place of its engines."""

from __future__ import annotations

import sys

from app.cli.main import main
from app.host.process import spawn

if __name__ == "__main__":
    spawn._ENGINE_MODULE = "tests.host.fake_engine"
    sys.exit(main(sys.argv[1:]))
