"""Signs: absolute values and clamps at 0 taken apart where a factor, or the sign of the whole, is known."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from refold.algebra.rewrite import rebuild, split_exponent
from refold.algebra.stabilise import is_anchored
from refold.spec import Fold, Index

Test = Callable[[sp.Expr], bool]


def split_signs(expr: sp.Expr, axis: Index, varies: Test, waits: Test) -> sp.Expr:
    """`|c r| -> |c| |r|` and, for `m = max_j c`, `|c - m| -> m - c` and `max(c - m, 0) -> 0`.

    Only where what varies with the axis is mixed with what waits for a fold over it.
    """
    if not expr.args or isinstance(expr, Fold):
        return expr
    expr = rebuild(expr, [split_signs(a, axis, varies, waits) for a in expr.args])
    if not (isinstance(expr, sp.Abs | sp.Max | sp.Min) and varies(expr) and waits(expr)):
        return expr
    if isinstance(expr, sp.Abs):
        inside = expr.args[0]
        sign = sign_of(inside, axis, varies)
        if sign:
            return sign * inside
        # An exponential of both stays whole: exp(c) alone may be too large where exp(c - m) is at most 1.
        mixed = any(varies(e) and waits(e) for e in inside.atoms(sp.exp))
        return expr if mixed else apart(expr, lambda f: not (varies(f) and waits(f)))
    if len(expr.args) == 2 and sp.S.Zero in expr.args:
        (inside,) = (a for a in expr.args if a != 0)
        if sign := sign_of(inside, axis, varies):
            return inside if (sign > 0) == isinstance(expr, sp.Max) else sp.S.Zero
    return expr


def sign_of(expr: sp.Expr, axis: Index, varies: Test) -> int:
    """1 for a value that is never negative, -1 for one that is never positive because it is taken against its
    maximum or minimum; 0 where that is not known."""
    for sign in (1, -1):
        moving, still = split_exponent(sp.expand(-sign * expr), varies)
        if moving != 0 and is_anchored(moving, still, axis):
            return sign
    return 0


def apart(expr: sp.Expr, is_pure: Test) -> sp.Expr:
    """`|a b| -> |a| |b|` and, for a >= 0, `max(a b, 0) -> a max(b, 0)`, where all factors are pure; else the same."""
    inside = [a for a in expr.args if a != 0]
    if len(inside) > 1:
        return expr
    factors = sp.Mul.make_args(inside[0])
    if not all(is_pure(f) for f in factors):
        factors = sp.Mul.make_args(sp.factor(sp.expand(inside[0], power_exp=True, log=False), deep=False))
    if not all(is_pure(f) for f in factors):
        return expr
    if isinstance(expr, sp.Abs):
        return sp.Mul(*(sp.Abs(f) for f in factors))
    signed = [f for f in factors if f.is_extended_nonnegative]
    rest = [f for f in factors if not f.is_extended_nonnegative]
    return sp.Mul(*signed, expr.func(sp.Mul(*rest), 0))
