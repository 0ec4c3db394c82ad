"""Writes differences of moments by centred ones, which round less: `E[x y] - E[x] E[y] = E[(x - E x) (y - E y)]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import sympy as sp

from refold.algebra.rewrite import folds, has_fold, rebuild
from refold.spec import Fold, Index

# The factors of a moment beside its weight, each with its power.
Powers = tuple[tuple[sp.Expr, int], ...]


def centre(expr: sp.Expr, axis: Index) -> Any:
    """An expression over folds in normal form, each difference in it by centred moments where that has fewer terms.

        sum_j w prod_i x_i^p_i  ->  sum_q prod_i binomial(p_i, q_i) r_i^(p_i - q_i) sum_j w prod_i (x_i - r_i)^q_i

    for `r_i = (sum_j w x_i)/(sum_j w)`, with 0 for a centred moment of degree 1, and `sum_j w` for that of degree 0.
    Nothing here is trusted: `reading` proves what each fold as written is, and `finish` that the outputs agree.
    """
    if not expr.args or isinstance(expr, Fold):
        return expr
    expr = rebuild(expr, [centre(a, axis) for a in expr.args])
    if not isinstance(expr, sp.Add):
        return expr
    options = [expr, *(_centred(expr, weight, axis) for weight in _weights(expr, axis))]
    return min(options, key=lambda e: len(sp.Add.make_args(e)))


def _weights(expr: sp.Add, axis: Index) -> Iterator[Fold]:
    """The sums that a mean may be divided by: the number of positions, and all that stand there."""
    if axis.size in expr.free_symbols:
        yield Fold("count", sp.S.One, axis)
    yield from (f for f in folds(expr, axis) if f.kind in ("sum", "count"))


def _centred(expr: sp.Add, weight: Fold, axis: Index) -> sp.Expr:
    """The expression with all moments of one weight by centred ones, multiplied out."""
    names: dict[Fold, sp.Symbol] = {}

    def name(fold: Fold) -> sp.Symbol:
        return names.setdefault(fold, sp.Dummy(positive=fold == weight))

    def mean(x: sp.Expr) -> sp.Expr:
        return Fold("sum", weight.body * x, axis) / weight

    def about_means(powers: Powers) -> sp.Expr:
        degree = sum(p for _, p in powers)
        if degree < 2:
            return sp.S.Zero if degree else name(weight)
        return name(Fold("sum", weight.body * sp.Mul(*((x - mean(x)) ** p for x, p in powers)), axis))

    def by_centred(powers: Powers) -> sp.Expr:
        terms = []
        for taken in product(*(range(p + 1) for _, p in powers)):
            rest = [(x, p, q) for (x, p), q in zip(powers, taken, strict=True)]
            means = (
                sp.binomial(p, q) * (name(Fold("sum", weight.body * x, axis)) / name(weight)) ** (p - q)
                for x, p, q in rest
            )
            terms.append(about_means(tuple((x, q) for x, _, q in rest)) * sp.Mul(*means))
        return sp.Add(*terms)

    found = {f: by_centred(p) for f in folds(expr, axis) if (p := _powers(f, weight, axis))}
    sizes = {axis.size: weight} if weight.kind == "count" else {}
    whole = expr.xreplace(sizes).xreplace(found | {weight: name(weight)})
    return sp.expand(whole).xreplace({symbol: fold for fold, symbol in names.items()})


def _powers(fold: Fold, weight: Fold, axis: Index) -> Powers:
    """`sum_j w x^2 y -> x^2, y` for the weight w; nothing for what is no such sum."""
    if fold.kind != "sum" or fold == weight:
        return ()
    powers: Counter[sp.Expr] = Counter()
    for factor in sp.Mul.make_args(sp.powsimp(fold.body / weight.body, combine="exp")):
        base, power = factor.args if isinstance(factor, sp.Pow) else (factor, sp.S.One)
        waits = has_fold(base, axis) or isinstance(base, sp.exp)
        if axis not in base.free_symbols or waits or not power.is_Integer or power < 1:
            return ()
        powers[base] += int(power)
    return tuple(powers.items())
