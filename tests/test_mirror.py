"""Every module with logic has a test of its name, or a test that says in its docstring that it
covers it: `app/engine/kv/kv_cache.py` is tested in `tests/engine/kv/test_kv_cache.py`, or by a file
whose docstring names `app.engine.kv.kv_cache`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_STATEMENTS = 15  # in functions; a module with no more is tested through its callers

# Modules that have neither yet. Take lines out, put none in.
UNTESTED: frozenset[str] = frozenset()


def modules() -> dict[str, Path]:
    """Return the files of `app` by the dotted names of their modules."""
    found = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def n_statements(path: Path) -> int:
    """Return the number of statements in the functions of a module, docstrings left out."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    counted: set[ast.stmt] = set()
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, functions):
            inner = (node for part in function.body for node in ast.walk(part))
            counted.update(node for node in inner if isinstance(node, ast.stmt))
    return sum(not _is_docstring(statement) for statement in counted)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def mentioned() -> str:
    """Return the docstrings of all test files."""
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return "\n".join(ast.get_docstring(ast.parse(source)) or "" for source in sources)


def is_tested(module: str, docstrings: str) -> bool:
    *folders, name = module.split(".")[1:]
    own = ROOT.joinpath("tests", *folders, f"test_{name}.py")
    return own.exists() or f"`{module}`" in docstrings


def untested() -> set[str]:
    docstrings = mentioned()
    return {
        module
        for module, path in modules().items()
        if n_statements(path) > MOST_STATEMENTS and not is_tested(module, docstrings)
    }


def test_every_module_with_logic_has_a_test_of_its_name_or_one_that_names_it() -> None:
    assert untested() <= UNTESTED, "write tests/…/test_<module>.py"


def test_no_module_that_is_tested_is_listed_as_untested() -> None:
    assert untested() >= UNTESTED


@pytest.mark.parametrize("name", ["app.engine.kv.kv_cache", "app.chat.tool_formats"])
def test_modules_have_dotted_names(name: str) -> None:
    assert modules()[name].exists()
