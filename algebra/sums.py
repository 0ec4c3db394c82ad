"""Sums of products: which factors may change their place in them, and what a product is a product of.

Every sum of products is a sum of terms `sum_{x, y, ...} c f g h`, and two pipelines with the same terms are equal: sums
are linear, finite sums exchange, and numbers form a commutative ring. That takes factors that are numbers: a factor
that may be infinite or undefined somewhere keeps its place in the sum that it was written in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from refold.algebra.rewrite import rebuild, split_exponent
from refold.algebra.roles import axes_of
from refold.algebra.stabilise import is_anchored
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.heads import sigmoid

# What is a number wherever its arguments are.
TOTAL = (sp.Add, sp.Mul, sp.exp, sp.tanh, sigmoid, sp.sin, sp.cos, sp.erf, sp.Abs, sp.Max, sp.Min, sp.floor)


def is_finite(expr: sp.Basic) -> bool:
    """Whether an expression is a number wherever all that it reads are numbers, on axes of any length."""
    match expr:
        case Read():
            # A place that is computed, or that data give, may be off its axis; that of a quotient is checked before.
            return all(
                isinstance(i, Index) or (isinstance(i, sp.floor) and not i.has(Read, Fold)) for i in expr.indices
            )
        case Param() | Index() | Size():
            return True
        case sp.Expr() if not expr.has(Read, Fold) and expr.is_number:
            return bool(expr.is_finite)
        case Fold():
            return expr.kind in ("sum", "prod", "count", "any", "all", "argmax") and is_finite(expr.body)
        case Where():
            return all(is_finite(a) for a in expr.args[1:])
        case sp.Pow():
            return bool(expr.exp.is_Integer and expr.exp.is_positive) and is_finite(expr.base)
        case sp.exp() if expr.has(Fold) and any(_is_below_its_maximum(expr.args[0], a) for a in axes_of(expr)):
            return True
    return isinstance(expr, TOTAL) and all(is_finite(a) for a in expr.args)


def _is_below_its_maximum(exponent: sp.Expr, axis: Index) -> bool:
    """`u - max_j u` with finite u: where it stands there is a position of j, so that the maximum is one of them."""
    moving, still = split_exponent(exponent, lambda t: axis in t.free_symbols)
    return moving != 0 and is_finite(moving) and is_anchored(moving, still, axis)


def summed(expr: sp.Basic) -> frozenset[Index] | None:
    """The axes that an expression is a sum over, as a sum of products; None where one is summed over twice."""
    match expr:
        case Fold(kind="sum"):
            inner = summed(expr.body)
            return None if inner is None or expr.axis in inner else inner | {expr.axis}
        case sp.Add():
            parts = [summed(term) for term in expr.args]
            return None if None in parts else frozenset[Index]().union(*(p for p in parts if p))
        case sp.Pow() if factors_of(expr) == [expr]:
            whole = expr.exp.is_Integer and expr.exp.is_positive
            return None if whole and summed(expr.base) else frozenset()
        case sp.Mul() | sp.Pow():
            parts = [summed(f) for f in factors_of(expr)]
            axes = frozenset[Index]().union(*(p for p in parts if p))
            return None if None in parts or sum(len(p or ()) for p in parts) > len(axes) else axes
    return frozenset()


@dataclass(slots=True)
class Ring:
    """Expressions as polynomials in what is no sum and no product, each such part under a symbol of its own."""

    symbols: dict[sp.Expr, sp.Symbol] = field(default_factory=dict)

    def __call__(self, expr: Any) -> Any:
        match expr:
            case sp.Rational():
                return expr
            case sp.Add() | sp.Mul():
                return rebuild(expr, [self(a) for a in expr.args])
            case sp.Pow() if expr.exp.is_Integer and expr.exp.is_positive:
                return self(expr.base) ** expr.exp
        return self.symbols.setdefault(expr, sp.Dummy(f"a{len(self.symbols)}", real=True))

    def back(self, expr: sp.Expr) -> sp.Expr:
        """An expression over the symbols, over what they stand for."""
        return expr.xreplace({symbol: part for part, symbol in self.symbols.items()})


def multiplied_out(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The terms of an expression as a polynomial in what is no sum and no product."""
    ring = Ring()
    return tuple(ring.back(term) for term in sp.Add.make_args(sp.expand(ring(expr))))


def factors_of(expr: sp.Expr) -> list[sp.Expr]:
    """The factors of a product, a power of a fold as often as it stands in it."""
    found: list[sp.Expr] = []
    for f in sp.Mul.make_args(expr):
        whole = isinstance(f, sp.Pow) and isinstance(f.base, Fold) and f.exp.is_Integer and f.exp.is_positive
        found += [f.base] * int(f.exp) if whole else [f]
    return found


def is_number(expr: sp.Basic, axis: Index) -> bool:
    """Whether an expression in a sum over `axis` is a number at each position that counts, where it is defined at all.

    It is then no infinity: a maximum is one where nothing counts, and stands here below an exponential alone, as the
    maximum of what it is taken from.
    """
    match expr:
        case _ if is_finite(expr):
            return True
        case sp.exp():
            moving, still = split_exponent(expr.args[0], lambda t: axis in t.free_symbols)
            masked = all(is_number(t, axis) or _is_masked(t, axis) for t in sp.Add.make_args(moving))
            return masked and (is_number(still, axis) or is_anchored(moving, still, axis))
        case Read():
            return True
        case sp.Add() | sp.Mul() | sp.log():
            return all(is_number(a, axis) for a in expr.args)
        case sp.Pow():
            return bool(expr.exp.is_Rational) and is_number(expr.base, axis)
        case Where():
            return all(is_number(a, axis) for a in expr.args[1:])
        case Fold():
            return expr.kind == "sum" and is_number(expr.body, expr.axis)
    return False


def _is_masked(expr: sp.Basic, axis: Index) -> bool:
    return isinstance(expr, Where) and expr.args[2] == -sp.oo and is_number(expr.args[1], axis)
