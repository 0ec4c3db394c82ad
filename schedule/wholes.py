"""Integer expressions of a spec as terms, as a kernel computes them."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from refold.schedule import integers
from refold.schedule.terms import Term, symbol
from refold.spec import Param
from refold.spec.arithmetic import quotient_of


def whole(expr: sp.Expr, leaf: Callable[[sp.Expr], Term]) -> Term:
    """The term of an integer expression; `leaf` gives those of positions, lengths and data."""

    def each(args: tuple[sp.Expr, ...]) -> list[Term]:
        return [whole(a, leaf) for a in args]

    match expr:
        case sp.Integer():
            return integers.whole(int(expr))
        case Param():
            return symbol(expr.name, "int")
        case sp.Add():
            return integers.add(*each(expr.args))
        case sp.Mul() if all(a.is_integer for a in expr.args):
            return integers.product(*each(expr.args))
        case sp.floor():
            return integers.quotient(*each(quotient_of(expr)))
        case sp.Mod():
            above, base = each(expr.args)
            return integers.subtract(above, integers.multiply(integers.quotient(above, base), base))
    return leaf(expr)
