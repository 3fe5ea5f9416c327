"""Owns starting the real server with `fake_engine` in the place of its engine process."""

from __future__ import annotations

import sys

from app.cli.main import main
from app.host.process import spawn

if __name__ == "__main__":
    spawn._ENGINE_MODULE = "scripts.benchmark.fake_engine"
    sys.exit(main(sys.argv[1:]))
