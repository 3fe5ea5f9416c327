"""The engine imports llama.cpp's bindings and leaves the rest of llama-cpp-python alone."""

from __future__ import annotations

import subprocess
import sys

import llama_cpp
import pytest

from app.engine.llama import bindings

HIGH_LEVEL = ("diskcache", "llama_cpp", "llama_cpp.llama", "llama_cpp.llama_cache")

pytestmark = pytest.mark.slow  # each test starts an interpreter


def output_of(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["app.engine.main", "app.engine.assembly"])
def test_an_engine_starts_without_the_high_level_package(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HIGH_LEVEL} if name in sys.modules])"
    assert output_of(code) == "[]"


@pytest.mark.parametrize(
    "imports",
    [
        "import llama_cpp",
        "import llama_cpp.llama_cpp, llama_cpp",
        "from llama_cpp.llama_cache import LlamaDiskCache; import llama_cpp",
        "import app.engine.llama.disk_cache, llama_cpp",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_the_high_level_package_shares_the_bindings(imports: str, is_first: bool) -> None:
    ours = "from app.engine.llama.bindings import lib"
    first, second = (ours, imports) if is_first else (imports, ours)
    check = "print(llama_cpp.llama_cpp is lib, llama_cpp.Llama.__name__)"
    assert output_of("\n".join((first, second, check))) == "True Llama"


def test_bindings_that_need_the_whole_package_are_imported_the_plain_way() -> None:
    code = """
import importlib.abc, sys

class Refuses(importlib.abc.MetaPathFinder):
    n_refused = 0

    def find_spec(self, name, path, target=None):
        if name == "llama_cpp.llama_cpp" and not self.n_refused:
            self.n_refused += 1
            raise ImportError("not on its own")

refuses = Refuses()
sys.meta_path.insert(0, refuses)
from app.engine.llama.bindings import lib, package_version
print(refuses.n_refused, "llama_cpp.llama" in sys.modules, bool(lib.llama_version()))
"""
    assert output_of(code) == "1 True True"


def test_the_version_is_the_packages_own() -> None:
    assert bindings.package_version() == llama_cpp.__version__
