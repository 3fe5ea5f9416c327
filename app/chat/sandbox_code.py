"""Owns the code that jinja2 generates for the sandbox; must not know the limits it calls into."""

from __future__ import annotations

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators


class BoundedCode(CodeGenerator):
    """Shows the environment the operations that jinja2 compiles to bare Python.

    `a ~ b` becomes `environment.concat_values((a, b))`, a slice goes through
    `environment.charge` and both sides of a comparison through `environment.checked`.
    """

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
        self.write("environment.charge(")
        super().visit_Getitem(node, frame)
        self.write(")")

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
        self.write("environment.checked(")
        self.visit(node, frame)
        self.write(")")
