"""Owns the code that jinja2 generates for the sandbox; must not know the limits it calls into."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators


class BoundedCode(CodeGenerator):
    """Shows the environment the operations that jinja2 compiles to bare Python.

    `a ~ b` becomes `environment.concat_values((a, b))`, a slice goes through
    `environment.charge`, a list that the template writes out through `environment.own_list`, both
    sides of a comparison and the keys of a dictionary through `environment.checked`.
    """

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: D102, N802
        if type(node.value) is list:  # folded while compiling
            self._wrapped("own_list", lambda: CodeGenerator.visit_Const(self, node, frame))
        else:
            super().visit_Const(node, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: D102, N802
        self._wrapped("own_list", lambda: CodeGenerator.visit_List(self, node, frame))

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: D102, N802
        self.write("{")
        for item in node.items:
            self._checked(item.key, frame)
            self.write(": ")
            self.visit(item.value, frame)
            self.write(", ")
        self.write("}")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: D102, N802
        self.write("environment.concat_values((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: D102, N802
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self._wrapped("charge", lambda: CodeGenerator.visit_Getitem(self, node, frame))

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: D102, N802
        self.write("(")
        self._checked(node.expr, frame)
        for operand in node.ops:
            self.visit(operand, frame)
        self.write(")")

    def visit_Operand(self, node: nodes.Operand, frame: Frame) -> None:  # noqa: D102, N802
        self.write(f" {operators[node.op]} ")
        self._checked(node.expr, frame)

    def _checked(self, node: nodes.Expr, frame: Frame) -> None:
        self._wrapped("checked", lambda: self.visit(node, frame))

    def _wrapped(self, method: str, write: Callable[[], None]) -> None:
        self.write(f"environment.{method}(")
        write()
        self.write(")")
