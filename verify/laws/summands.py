"""Expressions as sums of products, a body for each set of axes that is summed over: how identities of sums are read.

Sums are linear and exchange, so that two sums are equal if their bodies are. Nothing of it is shared with what derives
gradients: the names of axes alone are told apart as they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, permutations, product
from typing import Any

import sympy as sp

from refold.algebra.adjoint.nodes import Node
from refold.algebra.adjoint.terms import Term, base
from refold.algebra.roles import axes_of
from refold.algebra.sums import factors_of
from refold.spec import Fold, Index, Read, Size
from refold.spec.pipeline import rename

# A product under the sum over some axes, each with a name of its own.
Summand = tuple[frozenset[Index], Any]


def of_term(term: Term) -> Summand:
    """A term of a cotangent."""
    return frozenset(term.bound), term.coefficient * term.product


@dataclass(slots=True)
class Reading:
    """Reads expressions as sums of products, with some nodes written out."""

    nodes: dict[str, Node]
    count: int = 0

    def own(self, axis: Index) -> Index:
        self.count += 1
        return Index(f"{base(axis).name}#p{self.count}")

    def opened(self, expr: Any) -> list[Summand]:
        """The products of an expression, each with the axes that it is summed over."""
        if isinstance(expr, Read) and expr.name in self.nodes:
            return self.opened(self.nodes[expr.name].at(expr))
        if isinstance(expr, sp.Add):
            return [s for a in expr.args for s in self.opened(a)]
        if isinstance(expr, Fold) and expr.kind == "sum":
            axis = self.own(expr.axis)
            return [self.over(axis, s) for s in self.opened(rename(expr.body, {expr.axis: axis}))]
        if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
            return self.times([self.opened(expr.base) for _ in range(int(expr.exp))])
        if isinstance(expr, sp.Mul):
            return self.times([self.opened(f) for f in factors_of(expr)])
        return [(frozenset(), expr)]

    def over(self, axis: Index, summand: Summand) -> Summand:
        axes, body = summand
        return (axes | {axis}, body) if axis in body.free_symbols else (axes, body * Size(base(axis).name))

    def times(self, sums: Sequence[list[Summand]]) -> list[Summand]:
        return [
            (frozenset[Index]().union(*(axes for axes, _ in choice)), sp.Mul(*(body for _, body in choice)))
            for choice in product(*sums)
        ]

    def written(self, side: list[Summand]) -> list[Summand]:
        """Summands with the nodes written out in them."""
        found = []
        for axes, body in side:
            for more, inner in self.opened(body):
                left = frozenset(a for a in axes if a in inner.free_symbols)
                lengths = sp.Mul(*(Size(base(a).name) for a in axes - left))
                found.append((left | more, inner * lengths))
        return found

    def cleared(self, symbol: Any, sides: list[list[Summand]]) -> list[list[Summand]]:
        """Both sides times what is cited, as often as it divides; for each value of the axes that it is at.

        An axis that it is at, and that is summed over in every summand, is free: the summands are equal one by one.
        """
        for plain in sorted({base(a) for r in _divisors(symbol, sides) for a in axes_of(r)}, key=str):
            sides = _freed(plain, sides)
        for r, most in _divisors(symbol, sides).items():
            sides = [[(axes, body * r**most) for axes, body in side] for side in sides]
        return sides


def _divisors(symbol: Any, sides: list[list[Summand]]) -> dict[Any, int]:
    """The reads of what is cited that divide a summand, each with how often it does at most."""
    bodies = [body for side in sides for _, body in side]
    reads = {r for body in bodies for r in body.atoms(Read) if r.name == symbol.name}
    least = {r: min(_exponent(body, r) for body in bodies) for r in reads}
    return {r: -n for r, n in least.items() if n < 0}


def _exponent(body: sp.Expr, read: sp.Expr) -> int:
    return int(sum(f.as_base_exp()[1] for f in sp.Mul.make_args(body) if f.as_base_exp()[0] == read))


def _freed(plain: Index, sides: list[list[Summand]]) -> list[list[Summand]]:
    """The sides at one position of an axis over which every summand is summed once; else as they are."""
    bound = [[a for a in axes if base(a) == plain] for side in sides for axes, _ in side]
    if any(len(found) != 1 for found in bound):
        return sides
    return [
        [(axes - {a}, rename(body, {a: plain})) for axes, body in side for a in axes if base(a) == plain]
        for side in sides
    ]


def by_axes(side: list[Summand]) -> dict[tuple[Index, ...], sp.Expr]:
    """One body for each set of axes, whose names are the least ones that say the same."""
    found: dict[tuple[Index, ...], sp.Expr] = {}
    for axes, body in side:
        groups = [sorted(group, key=str) for _, group in groupby(sorted(axes, key=str), key=base)]
        numbered = []
        for orders in product(*(permutations(group) for group in groups)):
            put = {a: Index(f"{base(a).name}#{n}") for group in orders for n, a in enumerate(group)}
            numbered.append((rename(body, put), tuple(sorted(put.values(), key=str))))
        least = min(numbered, key=lambda item: str(item[0]))
        found[least[1]] = found.get(least[1], sp.S.Zero) + least[0]
    return found


def polynomial(expr: Any, symbols: dict[sp.Expr, sp.Symbol]) -> Any:
    """A polynomial over symbols for all that is no sum and no product."""
    match expr:
        case sp.Rational():
            return expr
        case sp.Add() | sp.Mul():
            return expr.func(*(polynomial(a, symbols) for a in expr.args))
        case sp.Pow() if expr.exp.is_Integer and expr.exp.is_positive:
            return polynomial(expr.base, symbols) ** expr.exp
    return symbols.setdefault(expr, sp.Symbol(f"x{len(symbols)}", real=True))
