"""What an expression is in the lanes beyond the end of an axis, where data along it is loaded as 0."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import sympy as sp

from refold.spec import Fold, Index, Read, Where
from refold.spec.heads import nearest, sigmoid

_BOUNDED = (sp.tanh, sp.sin, sp.cos, sp.erf, sigmoid)
_FINITE = (sp.Add, sp.Mul, sp.Abs, sp.Max, sp.Min, nearest, *_BOUNDED)


def vanishes(factors: Iterable[sp.Expr], axis: Index) -> bool:
    """Whether a product of finite factors is 0 beyond the end of `axis`: one of them is data along it."""
    return any(isinstance(f, Read) and axis in f.indices for f in factors)


def finite(expr: sp.Basic, axis: Index, wild: Collection[sp.Basic] = ()) -> bool:
    """Whether an expression of finite data is finite beyond the end of `axis`; where in doubt, not.

    `wild`: the symbols in it whose values are not.
    """
    if isinstance(expr, Read | sp.Symbol | Fold) or (expr.is_number and expr.is_finite):
        return expr not in wild
    if isinstance(expr, _FINITE):
        return all(finite(a, axis, wild) for a in expr.args)
    if isinstance(expr, Where):
        return all(finite(a, axis, wild) for a in expr.args[1:])
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
        return finite(expr.base, axis, wild)
    reads = {r for r in expr.atoms(Read) if axis in r.indices}
    value = expr.xreplace(dict.fromkeys(reads, sp.S.Zero))
    return bool(value.is_number and value.is_finite and value.is_extended_real)
