"""Expressions over the extended reals: their values at infinities and at 0, as floats have them, and their folds.

A value is an expression of what is finite, or -oo or +oo, or `nan` where there is none; `zoo` is what a division by 0
gives, which is infinite or no number. Folds over the axis that no number replaces are kept in one form, so that two
that are equal by linearity are the same expression.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from refold.spec import Fold, Index, Where
from refold.spec.heads import sigmoid

# How many positions there are, where there is one at least.
LENGTH = sp.Symbol("n", integer=True, positive=True)
INFINITE = (sp.oo, -sp.oo, sp.zoo)
_LIMITS: dict[tuple[type[sp.Basic], sp.Basic], sp.Expr] = {
    (sp.log, sp.S.Zero): -sp.oo,
    (sp.log, -sp.oo): sp.nan,
    (sigmoid, sp.oo): sp.S.One,
    (sigmoid, -sp.oo): sp.S.Zero,
}


class Unclear(Exception):
    """A fold whose terms are finite at some positions and not at others: it has a value or none, as the data say."""


def apply(expr: sp.Basic, args: list[Any]) -> Any:
    """The value of a node whose arguments have these values."""
    if any(a is sp.nan for a in args):
        return sp.nan
    if (type(expr), args[0]) in _LIMITS:
        return _LIMITS[type(expr), args[0]]
    if not isinstance(expr, sp.Add | sp.Mul | sp.Pow) and any(a.has(sp.zoo) for a in args):
        # A function of what is divided by 0 has no value, a magnitude is no number either.
        return sp.zoo if isinstance(expr, sp.Abs) else sp.nan
    if any(a in INFINITE for a in args):
        known = (sp.Add, sp.Mul, sp.Pow, sp.Max, sp.Min, sp.exp, sp.log, sp.tanh, sp.erf, sp.Abs)
        if isinstance(expr, sp.Expr) and not isinstance(expr, known):
            return sp.nan  # sin, floor and mod of an infinity have no value
    value = expr.func(*args)
    return sp.nan if value.has(sp.I, sp.AccumBounds) else _absorbed(value)


def _absorbed(value: Any) -> Any:
    """A sum without the numbers that are added to what is never finite: they change neither an infinity nor NaN."""
    terms = sp.Add.make_args(value)
    if len(terms) > 1 and any(is_never_finite(t) for t in terms):
        return sp.Add(*(t for t in terms if not is_finite(t)))
    return value


def total(kind: str, body: sp.Basic, axis: Index) -> Any:
    """The fold of a body over at least one position, by linearity over folds of what varies."""
    if body is sp.nan:
        return sp.nan
    if kind in ("sum", "count"):
        return _absorbed(sp.Add(*(_term(t, axis) for t in sp.Add.make_args(sp.expand(body)))))
    if axis not in body.free_symbols:
        match kind:
            case "argmax":
                return sp.S.Zero
            case "prod":
                return body if body in (0, 1) else body**LENGTH
        return body
    if kind in ("max", "min"):
        still, moving = body.as_independent(axis, as_Add=True)
        if still in (sp.oo, -sp.oo):
            return still
        return still + _fold(kind, moving, axis)
    return _fold(kind, body, axis)


def _term(term: sp.Expr, axis: Index) -> sp.Expr:
    """`sum_j k f = k sum_j f`; of an infinite k wherever the left side has a value, so that all f have one sign."""
    still, moving = sp.Mul(term).as_independent(axis, as_Add=False)
    if moving == 1:
        return sp.S.Zero if still == 0 else LENGTH * still
    return still * _fold("sum", moving, axis)


def _fold(kind: str, body: sp.Expr, axis: Index) -> Fold:
    """A fold that is finite: a mask makes its terms infinite only where that adds nothing."""
    harmless = {"max": -sp.oo, "argmax": -sp.oo, "min": sp.oo}.get(kind)
    if body.has(sp.nan) or not all(value == harmless for value in infinite_parts(body)):
        raise Unclear(f"{kind} over {axis.name} of what is infinite at some positions")
    return Fold(kind, body, axis)


def infinite_parts(body: sp.Basic) -> set[sp.Basic]:
    """The infinite values that stand in an expression outside of folds and of exponentials that they make 0."""
    if body in INFINITE:
        return {body}
    if isinstance(body, Fold):
        return set()
    found = {value for arg in body.args for value in infinite_parts(arg)}
    return found - {-sp.oo} if isinstance(body, sp.exp) else found


def is_finite(value: sp.Basic) -> bool:
    """Whether a value is a number wherever its masks and its folds have one."""
    return not value.has(sp.nan) and not infinite_parts(value)


def has_no_value(value: sp.Basic) -> bool:
    """Whether a value is none, or divided by 0."""
    return value is sp.nan or value.has(sp.zoo)


def is_never_finite(value: sp.Basic) -> bool:
    """Whether a value is infinite or none, whatever the data: an infinity times anything, plus anything."""
    if value is sp.nan or value in INFINITE:
        return True
    match value:
        case sp.Add() | sp.Mul():
            return any(is_never_finite(a) for a in value.args)
        case Where():
            return all(is_never_finite(a) for a in value.args[1:])
    return False


def infinities(expr: sp.Basic) -> frozenset[int]:
    """The infinities that an expression of the spec may reach, -1 for -oo and 1 for +oo; data is finite."""
    both: frozenset[int] = frozenset({-1, 1})
    if expr in (sp.oo, -sp.oo):
        return frozenset({1 if expr == sp.oo else -1})
    match expr:
        case Where():
            return infinities(expr.args[1]) | infinities(expr.args[2])
        case sp.Add() | sp.Max() | sp.Min():
            return frozenset(n for a in expr.args for n in infinities(a))
        case sp.Mul() if (rest := sp.Mul(*(a for a in expr.args if not infinities(a)))).is_nonzero:
            unbounded = [a for a in expr.args if infinities(a)]
            if len(unbounded) == 1 and (rest.is_positive or rest.is_negative):
                return frozenset((1 if rest.is_positive else -1) * n for n in infinities(unbounded[0]))
        case sp.exp():
            return infinities(expr.args[0]) - {-1}
        case sp.Pow() if expr.exp.is_negative:
            return frozenset()  # 1 by an infinity is 0; that nothing else divides by 0 is a condition
        case sp.log():
            return infinities(expr.args[0]) & {1}
        case sp.Abs() | sp.Pow() if isinstance(expr, sp.Abs) or (expr.exp.is_even and expr.exp.is_positive):
            return frozenset({1}) if infinities(expr.args[0]) else frozenset()
        case sp.tanh() | sp.erf() | sigmoid():
            return frozenset()
    return both if any(infinities(a) for a in expr.args if isinstance(a, sp.Expr)) else frozenset()
