"""Laws by which a fold is another expression of the same value, each `before -> after`, and the form that they give.

Each is proved of every use of it (`verify/laws/reassociation.py`); which of them are used is a matter of cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import sympy as sp

from refold.algebra.roles import axes_of, operands
from refold.algebra.sums import factors_of, is_finite, is_number, multiplied_out
from refold.algebra.worth import LONG, SHORT
from refold.spec import Fold, Index, Size, Where
from refold.spec.heads import sigmoid

# Functions that do not fall, of numbers of any sign.
RISING = (sp.exp, sp.tanh, sigmoid, sp.erf)


def pull_map(fold: Fold) -> sp.Expr | None:
    """`max_t f(x_t) -> f(max_t x_t) where there is a t, else -oo`, for an f that does not fall.

    Over nothing a maximum is -oo, whatever f is; of masked positions the same holds of those that are let in.
    """
    if fold.kind != "max":
        return None
    body, axis = fold.body, fold.axis
    condition = None
    if isinstance(body, Where) and body.args[2] == -sp.oo:
        condition, body = body.args[:2]
    inner = _argument(body, axis)
    if inner is None:
        return None
    largest = Fold("max", inner if condition is None else Where(condition, inner, -sp.oo), axis)
    return Where(nonempty(condition, axis), body.xreplace({inner: largest}), -sp.oo)


def nonempty(condition: sp.Basic | None, axis: Index) -> sp.Basic:
    """That a position of an axis counts."""
    if condition is None:
        return sp.Gt(Size(axis.name), 0, evaluate=False)
    return sp.Gt(Fold("any", Where(condition, 1, 0), axis), 0, evaluate=False)


def _argument(expr: sp.Expr, axis: Index) -> sp.Expr | None:
    """What the innermost function on the way to what varies is of; None where there is none, or one that may fall."""
    varying = [a for a in expr.args if axis in a.free_symbols]
    if not is_rising(expr, axis) or len(varying) != 1:
        return None
    inner = _argument(varying[0], axis)
    affine = isinstance(expr, sp.Add | sp.Mul)
    return inner if inner is not None else None if affine or not is_finite(varying[0]) else varying[0]


def is_rising(expr: sp.Expr, axis: Index) -> bool:
    """Whether a node is a number that does not fall as the one argument does that varies, for any value of it."""
    still = [a for a in expr.args if axis not in a.free_symbols]
    match expr:
        case sp.Add() | sp.Max() | sp.Min():
            return all(map(is_finite, still))
        case sp.Mul():
            return all(a.is_nonnegative and is_finite(a) for a in still)
        case sp.log():
            return bool(expr.args[0].is_positive)
    return isinstance(expr, RISING)


def distribute(fold: Fold) -> sp.Expr | None:
    """`sum_d (q_d - k_d)^2 -> sum_d q_d^2 - 2 sum_d q_d k_d + sum_d k_d^2`, where each sum varies with fewer axes.

    Or is a product of two tiles, as in the middle.
    """
    if fold.kind != "sum" or operands(fold.body, fold.axis) is not None or not is_finite(fold.body):
        return None
    terms = [_apart(term, fold.axis) for term in multiplied_out(fold.body)]
    whole, axis = axes_of(fold.body), fold.axis
    smaller = (axis in axes_of(t) < whole or operands(t, axis) is not None for _, t in terms)
    if len(terms) < 2 or not all(smaller):
        return None
    return sp.Add(*(factor * Fold("sum", t, fold.axis) for factor, t in terms))


def _apart(term: sp.Expr, axis: Index) -> tuple[sp.Expr, sp.Expr]:
    """The factors that do not vary with an axis, and those that do."""
    still, moving = term.as_independent(axis, as_Add=False)
    return still, moving


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of nested sums; `home` is the axis of the sum that it has to stand in, if it is not free to move."""

    expr: sp.Expr
    home: Index | None = None


def contract(fold: Fold, long: frozenset[str]) -> tuple[sp.Expr, ...]:
    """`sum_j p_j (sum_r w_r c_jr) -> sum_r w_r (sum_j p_j c_jr)`: the other orders of nested sums that cost no more."""
    axes, factors = nested(fold)
    if not 2 <= len(axes) <= 4 or fold.free_symbols & {*axes}:
        return ()
    found = {expr: work for order in permutations(axes) for expr, work in _summed(factors, order, long)}
    least = min((work for expr, work in found.items() if expr == fold), default=math.inf)
    return tuple(e for e, work in sorted(found.items(), key=lambda item: item[1]) if e != fold and work <= least)


def nested(fold: Fold) -> tuple[list[Index], list[Factor]]:
    """The axes of sums that stand in each other, and all that is multiplied in them; nothing where it is no number."""
    axes, factors = [fold.axis], []
    if fold.kind != "sum":
        return [], []
    for f in factors_of(fold.body):
        inner = nested(f) if isinstance(f, Fold) else ([], [])
        if inner[0] and not {*inner[0]} & {*axes}:
            axes += inner[0]
            factors += inner[1]
        elif is_finite(f):
            factors.append(Factor(f))
        elif is_number(f, fold.axis):
            factors.append(Factor(f, fold.axis))
        else:
            return [], []
    return axes, factors


def _summed(factors: list[Factor], order: tuple[Index, ...], long: frozenset[str]) -> Iterator[tuple[sp.Expr, float]]:
    """The product summed over one axis after the other, and its work; nothing where a factor would leave its sum."""
    work = 0.0
    for axis in order:
        inside = [f for f in factors if axis == f.home or axis in f.expr.free_symbols]
        if any(f.home not in (None, axis) for f in inside):
            return
        body = sp.Mul(*(f.expr for f in inside))
        if axis not in body.free_symbols or (len(inside) == len(factors) and axis != order[-1]):
            # All that is multiplied is in the first sum: nothing is saved by the order of the others.
            return
        work += math.prod(LONG if a.name in long else SHORT for a in axes_of(body))
        factors = [f for f in factors if f not in inside] + [Factor(Fold("sum", body, axis))]
    yield sp.Mul(*(f.expr for f in factors)), work
