"""What the launcher computes for a kernel from sizes and scalar arguments, and which expressions it can."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from refold.schedule import ir
from refold.schedule.lower.names import Names
from refold.schedule.lower.words import scalar
from refold.spec import Fold, Param, Read, Size
from refold.spec.heads import is_integral


@dataclass(slots=True)
class Host:
    """Scalars that the launcher computes, in double precision, from sizes and scalar arguments."""

    names: Names
    scalars: dict[sp.Expr, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)

    def helper(self, name: str) -> str:
        """A function of the kernel file that is called: it will be there."""
        self.helpers.add(name)
        return name

    def scalar(self, expr: sp.Expr) -> ir.Name:
        if expr not in self.scalars:
            self.scalars[expr] = expr.name if isinstance(expr, Param) else self.names.fresh("scale")
        return scalar(self.scalars[expr])

    def call(self, helper: str, *args: ir.Value) -> ir.Call:
        """A call of a helper, which the kernel file will have; its arguments are of one shape, or without one."""
        return ir.Call(self.helper(helper), args, next((a.axes for a in args if a.axes), ()))


def is_host(expr: sp.Basic) -> bool:
    """Whether an expression is a scalar of sizes and arguments alone."""
    return not expr.has(Read, Fold) and all(isinstance(s, Size | Param) for s in expr.free_symbols)


def is_count(expr: sp.Basic) -> bool:
    """Whether an integer is computed as one: linear in positions and data, as products may need more than 32 bits."""
    if isinstance(expr, sp.Add | sp.Max | sp.Min | sp.Abs):
        return all(is_count(a) for a in expr.args)
    if isinstance(expr, sp.Mul):
        coefficient, rest = expr.as_coeff_Mul()
        return bool(coefficient.is_Integer) and rest != expr and is_count(rest)
    return is_integral(expr) and isinstance(expr, sp.Symbol | sp.Integer | sp.floor | sp.Mod | Read)
