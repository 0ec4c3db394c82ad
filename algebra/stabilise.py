"""Stabilising: the shift that keeps every exponent of a fold at or below 0, and the scale that gives it back."""

from __future__ import annotations

from collections.abc import Callable

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
    factor, fold = shift.as_coeff_Mul()
    if factor < 0 and isinstance(fold, Fold) and fold.kind == "min":
        return bool(fold.axis == axis and sp.expand(fold.body + moving / -factor) == 0 and factor == -1)
    return bool(
        isinstance(fold, Fold)
        and fold.kind == "max"
        and fold.axis == axis
        and factor > 0
        and sp.expand(factor * fold.body - moving) == 0
    )


def shift(
    body: sp.Expr, axis: Index, varying: Callable[[sp.Expr], bool], floors: frozenset[sp.Expr] = frozenset()
) -> tuple[sp.Expr, sp.Expr] | None:
    """`exp(u + w) f -> (exp(u - max_j u) f, w + max_j u)`: the stabilised body and the logarithm of its scale.

    None where there is no single exponential, or it is anchored already, or `u <= 0` on its own, or what varies
    waits for a fold. `floors` are constants that the shift has to reach too: `max_j u -> max(max_j u, z)`.
    """
    exponential = exponent_of(body)
    if exponential is None:
        return None
    moving, still = split_exponent(exponential.args[0], varying)
    if moving == 0 or is_anchored(moving, still, axis) or (moving.is_nonpositive and still == 0):
        return None
    if any(isinstance(node, Fold) and node.axis == axis for node in sp.preorder_traversal(moving)):
        return None
    top = sp.Max(Fold("max", moving, axis), *floors)
    return sp.Mul(
        sp.exp(moving - top), sp.Mul(*(f for f in sp.Mul.make_args(body) if f is not exponential))
    ), still + top
