"""Integer expressions of a spec as terms, as a kernel computes them."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from refold.schedule import integers
from refold.schedule.conditions import both, compare_integers, different, select
from refold.schedule.terms import Term, make, symbol
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
            return _rounded_down(quotient_of(expr)[0], *each(quotient_of(expr)))
        case sp.Mod():
            above, base = each(expr.args)
            return integers.subtract(above, integers.multiply(_rounded_down(expr.args[0], above, base), base))
        case sp.Abs():
            return make("abs", "int", (*each(expr.args),))
        case sp.Max() | sp.Min():
            return (integers.greatest if isinstance(expr, sp.Max) else integers.least)(*each(expr.args))
    return leaf(expr)


def _rounded_down(dividend: sp.Expr, a: Term, b: Term) -> Term:
    """`a // b` where the dividend is not negative, else as `_floordiv` has it."""
    q = integers.quotient(a, b)
    if dividend.is_nonnegative:
        return q
    rest, zero = integers.subtract(a, integers.multiply(q, b)), integers.whole(0)
    apart = different(compare_integers("<", rest, zero), compare_integers("<", b, zero))
    return select(both(compare_integers("!=", rest, zero), apart), integers.subtract(q, integers.whole(1)), q)
