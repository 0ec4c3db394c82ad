"""Stabilising: the shift that keeps every exponent of a fold at or below 0, and the scale that gives it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy as sp

from refold.algebra.rewrite import split_exponent
from refold.spec import Fold, Index


def exponent_of(body: sp.Expr) -> sp.exp | None:
    """The exponential factor of a product, if it has one."""
    factors = [f for f in sp.Mul.make_args(body) if isinstance(f, sp.exp)]
    return factors[0] if len(factors) == 1 else None


def is_anchored(moving: sp.Expr, still: sp.Expr, axis: Index) -> bool:
    """Whether `moving + still` is at most 0 because `still` takes the maximum of `moving` away."""
    return _cancels(moving, -still, axis)


def _cancels(moving: sp.Expr, shift: sp.Expr, axis: Index) -> bool:
    if isinstance(shift, sp.Max):
        return any(_cancels(moving, arg, axis) for arg in shift.args)
    if isinstance(shift, Fold):
        return bool(shift.kind == "max" and shift.axis == axis and sp.expand(shift.body - moving) == 0)
    if isinstance(shift, sp.Add):
        # Of several maxima each takes its own: `u + v - max_j u - max_j v`; the prover sees that of data alone.
        tops = ((t, _ranged_over(t, axis)) for t in shift.args if not moving.has(Fold))
        several = ((t, top) for t, top in tops if top is not None)
        return any(_cancels(moving - shift + t, t, axis) for t in shift.args if t.has(Fold)) or any(
            _cancels(sp.expand(moving - top), shift - t, axis) for t, top in several
        )
    factor, rest = shift.as_coeff_Mul()
    if factor < 0 and isinstance(rest, Fold) and rest.kind == "min":
        return bool(rest.axis == axis and sp.expand(factor * rest.body - moving) == 0)
    return bool(factor > 0 and factor != 1 and _cancels(moving / factor, rest, axis))


def _ranged_over(bound: sp.Expr, axis: Index) -> sp.Expr | None:
    """`a u` for `a max_j u` with a number a > 0, or `a min_j u` with a < 0: what that is never below."""
    factor, fold = bound.as_coeff_Mul()
    kind = "max" if factor > 0 else "min"
    return factor * fold.body if isinstance(fold, Fold) and (fold.kind, fold.axis) == (kind, axis) else None


def primitive(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """`a u -> (a, u)` with the number a that makes `2 x + y/2` and `x + y/4` multiples of one expression."""
    factor, rest = expr.as_coeff_Mul()
    if rest.is_Add:
        inner, rest = rest.primitive()
        factor *= inner
    if rest.could_extract_minus_sign():
        factor, rest = -factor, -rest
    return factor, rest


def shift(
    body: sp.Expr,
    axis: Index,
    varying: Callable[[sp.Expr], bool],
    maxima: Iterable[Fold] = (),
    floors: frozenset[sp.Expr] = frozenset(),
) -> tuple[sp.Expr, sp.Expr] | None:
    """`exp(u + w) f -> (exp(u - max_j u) f, w + max_j u)`: the stabilised body and the logarithm of its scale.

    None where there is no single exponential, or it is anchored already, or `u <= 0` on its own, or what varies
    waits for a fold. `floors` are constants that the shift has to reach too: `max_j u -> max(max_j u, z)`; `maxima`
    are those that are there already: `max_j (a u + b) -> a max_j u + b`.
    """
    exponential = exponent_of(body)
    if exponential is None:
        return None
    moving, still = split_exponent(exponential.args[0], varying)
    if moving == 0 or is_anchored(moving, still, axis) or (moving.is_nonpositive and still == 0):
        return None
    if any(isinstance(node, Fold) and node.axis == axis for node in sp.preorder_traversal(moving)):
        return None
    top = sp.Max(_largest(moving, axis, varying, maxima), *floors)
    return sp.Mul(
        sp.exp(moving - top), sp.Mul(*(f for f in sp.Mul.make_args(body) if f is not exponential))
    ), still + top


def _largest(moving: sp.Expr, axis: Index, varying: Callable[[sp.Expr], bool], maxima: Iterable[Fold]) -> sp.Expr:
    """`max_j u`, from a maximum that is there already where u is a positive multiple of what that ranges over."""
    factor, wanted = primitive(moving)
    for fold in maxima:
        inside, offset = split_exponent(fold.body, varying)
        other, found = primitive(inside)
        if found == wanted and factor / other > 0:
            return factor / other * (fold - offset)
    return Fold("max", moving, axis)
