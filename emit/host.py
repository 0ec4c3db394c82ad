"""Prints what the launcher computes: scalars of sizes and arguments, in Python's own arithmetic."""

from __future__ import annotations

import sympy as sp
from sympy.core.relational import Relational

from refold.emit.heads import FORMS
from refold.errors import EmitError
from refold.spec import Index, Param, Size, Where


def host(expr: sp.Basic) -> str:
    """Python text of a scalar; `size["j"]` is the length of axis j."""
    match expr:
        case sp.Integer():
            return str(expr) if expr >= 0 else f"({expr})"
        case sp.Rational() | sp.Float() | sp.NumberSymbol():
            return repr(float(expr)) if expr >= 0 else f"({float(expr)!r})"
        case Size():
            return f'size["{expr.name}"]'
        case Param() | Index():
            return str(expr.name)
        case sp.Add():
            return "(" + " + ".join(host(a) for a in expr.args) + ")"
        case sp.Mul():
            above, below = sp.fraction(expr, exact=True)
            if below != 1:
                return f"_ratio({host(above)}, {host(below)})"
            return "(" + " * ".join(host(a) for a in expr.args) + ")"
        case sp.Pow():
            if expr.exp == sp.Rational(1, 2):
                return f"math.sqrt({host(expr.base)})"
            if expr.exp.is_negative:
                return f"_ratio(1, {host(1 / expr)})"
            return f"({host(expr.base)} ** {host(expr.exp)})"
        case sp.Max() | sp.Min():
            return f"{'max' if isinstance(expr, sp.Max) else 'min'}({', '.join(host(a) for a in expr.args)})"
        case sp.floor():
            above, below = sp.fraction(sp.together(expr.args[0]))
            return f"({host(above)} // {host(below)})"
        case sp.Mod():
            return f"({host(expr.args[0])} % {host(expr.args[1])})"
        case Where():
            cond, then, other = (host(a) for a in expr.args)
            return f"({then} if {cond} else {other})"
        case sp.And() | sp.Or():
            return "(" + (" and " if isinstance(expr, sp.And) else " or ").join(host(a) for a in expr.args) + ")"
        case Relational():
            return f"({host(expr.lhs)} {expr.rel_op} {host(expr.rhs)})"
    if expr.is_number:
        return repr(float(expr))
    if type(expr) in FORMS:
        return FORMS[type(expr)].host.format(x=host(expr.args[0]))
    raise EmitError(f"no Python text for {expr}: write it with the heads that `refold.spec` knows")
