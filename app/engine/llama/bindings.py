"""Owns importing llama-cpp-python's ctypes bindings, and nothing else of that package.

`import llama_cpp.llama_cpp` runs `llama_cpp/__init__.py` first, which imports the high-level
`Llama` with its chat handlers, grammars and `diskcache`; the engine calls none of that. So an empty
package with the real one's path is registered while the bindings are imported, and removed again:
a later `import llama_cpp` gets the real package, with the same bindings.

Where the package has been imported already, or the bindings come to need it, they are imported the
plain way.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = "llama_cpp"
_VERSION = re.compile(r"""^__version__\s*=\s*["']([^"']+)["']""", re.MULTILINE)


@contextmanager
def _empty_package() -> Iterator[None]:
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec(_PACKAGE)
    if spec is None:
        yield
        return
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]


try:
    with _empty_package():
        import llama_cpp.llama_cpp as lib
except (ImportError, AttributeError):
    import llama_cpp.llama_cpp as lib

__all__ = ["lib", "package_version"]


def package_version() -> str:
    """Return `llama_cpp.__version__`, read from the source where that says it."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin:
        found = _VERSION.search(Path(spec.origin).read_text("utf-8"))
        if found is not None:
            return found[1]
    import llama_cpp

    version: str = llama_cpp.__version__
    return version
