"""Rewrites shared by the derivation: folds in place, logarithms of products, parts of an exponent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp

from refold.spec import Fold, Index, Read, Size, Where


def walk(expr: sp.Basic) -> Iterator[sp.Basic]:
    """Every node of an expression, from the outside in."""
    yield expr
    for arg in expr.args:
        yield from walk(arg)


def rebuild(expr: sp.Basic, args: list[Any]) -> Any:
    """The same head over other arguments; unchanged where they are."""
    return expr if all(a is b for a, b in zip(expr.args, args, strict=True)) else expr.func(*args)


def map_folds(expr: sp.Basic, axis: Index, replace: Callable[[Fold], sp.Expr]) -> Any:
    """Replaces the outermost folds over `axis`; `replace` sees to what is inside of them."""
    if isinstance(expr, Fold) and expr.axis == axis:
        return replace(expr)
    if not expr.args:
        return expr
    return rebuild(expr, [map_folds(a, axis, replace) for a in expr.args])


def folds(expr: sp.Basic, axis: Index) -> list[Fold]:
    """The outermost folds over `axis`, each once, in the order of the text."""
    found: list[Fold] = []

    def keep(fold: Fold) -> sp.Expr:
        if fold not in found:
            found.append(fold)
        return fold

    map_folds(expr, axis, keep)
    return found


def replace_size(expr: sp.Basic, axis: Index, value: sp.Expr) -> Any:
    """Writes `value` for the length of `axis`, except in conditions and indices, which mean the finished length."""
    if expr == Size(axis.name):
        return value
    if not expr.args or isinstance(expr, Read):
        return expr
    kept = 1 if isinstance(expr, Where) else 0
    return rebuild(expr, [*expr.args[:kept], *(replace_size(a, axis, value) for a in expr.args[kept:])])


def expand_logs(expr: sp.Basic) -> Any:
    """`log(exp(a) b / c) -> a + log(b) - log(c)` for `c >= 0`: of two negative numbers the quotient has a logarithm."""
    if not expr.args:
        return expr
    expr = rebuild(expr, [expand_logs(a) for a in expr.args])
    if not isinstance(expr, sp.log):
        return expr
    terms = []
    rest = sp.S.One
    for factor in sp.Mul.make_args(expr.args[0]):
        if isinstance(factor, sp.exp):
            terms.append(factor.args[0])
        elif isinstance(factor, sp.Pow) and factor.exp == -1 and factor.base.is_nonnegative:
            terms.append(-sp.log(factor.base))
        else:
            rest *= factor
    return sp.Add(*terms, sp.log(rest)) if terms else expr


def summands(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The terms of a sum, products of sums multiplied out."""
    return sp.Add.make_args(sp.expand(expr, deep=False, power_exp=False, power_base=False, log=False))


def split_exponent(exponent: sp.Expr, varying: Callable[[sp.Expr], bool]) -> tuple[sp.Expr, sp.Expr]:
    """The terms of an exponent that vary and those that do not."""
    terms = sp.Add.make_args(exponent)
    return sp.Add(*(t for t in terms if varying(t))), sp.Add(*(t for t in terms if not varying(t)))


def push_masks(expr: sp.Expr, varying: Callable[[sp.Expr], bool], has_fold: Callable[[sp.Expr], bool]) -> Any:
    """`where(p, exp(u - r) f, 0) -> exp(where(p, u, -oo) - r) f`, and `where(p, a, b) -> [p] a + [not p] b` otherwise.

    Only masks around a predecessor are moved, so that what is left of a mask varies with the axis alone.
    """
    if not expr.args or isinstance(expr, Fold):
        return expr
    expr = rebuild(expr, [push_masks(a, varying, has_fold) for a in expr.args])
    if not (isinstance(expr, Where) and has_fold(expr)):
        return expr
    cond, then, other = expr.args
    if other == 0:
        factors = sp.Mul.make_args(then)
        for n, factor in enumerate(factors):
            if isinstance(factor, sp.exp):
                moving, still = split_exponent(factor.args[0], varying)
                masked = sp.exp(masked_by(cond, moving, -sp.oo) + still)
                return sp.Mul(masked, *factors[:n], *factors[n + 1 :])
    if other in (sp.oo, -sp.oo):
        moving, still = split_exponent(then, varying)
        return masked_by(cond, moving, other) + still
    return Where(cond, 1, 0) * then + Where(cond, 0, 1) * other


def masked_by(condition: sp.Basic, expr: sp.Expr, other: sp.Expr) -> sp.Expr:
    """`where(p, where(q, a, b), b) -> where(p and q, a, b)`."""
    if isinstance(expr, Where) and expr.args[2] == other:
        condition, expr = sp.And(condition, expr.args[0]), expr.args[1]
    return Where(condition, expr, other)


def factor_scales(expr: sp.Basic, scales: list[sp.Expr], *, cancels: bool = False) -> Any:
    """`b exp(w) + c -> exp(w) (b + c exp(-w))` for the scales w of stabilised folds, so that quotients cancel them.

    Only in quotients, powers and logarithms: elsewhere nothing cancels, and exp(-w) is as large as w is small.
    """
    if not expr.args:
        return expr
    parts = sp.Mul.make_args(expr)
    cancels = cancels or any(isinstance(part, sp.Pow | sp.log) for part in parts)
    expr = rebuild(expr, [factor_scales(a, scales, cancels=cancels) for a in expr.args])
    if isinstance(expr, sp.Add) and cancels:
        for scale in scales:
            shift = sp.exp(scale)
            if any(_takes(factor, scale) for term in expr.args for factor in sp.Mul.make_args(term)):
                return shift * sp.Add(*(sp.powsimp(term / shift, combine="exp") for term in expr.args))
    return expr


def cancel_exponents(expr: sp.Basic) -> Any:
    """`exp(a - b) exp(b - a + c) -> exp(c)`: exponentials of a product are joined where terms of exponents cancel."""
    if not expr.args:
        return expr
    expr = rebuild(expr, [cancel_exponents(a) for a in expr.args])
    if not isinstance(expr, sp.Mul):
        return expr
    kept: list[sp.Expr] = []
    for factor in expr.args:
        for n, other in enumerate(kept):
            if isinstance(factor, sp.exp) and isinstance(other, sp.exp):
                joined = sp.expand(factor.args[0] + other.args[0])
                if len(_terms(joined)) < len(_terms(factor.args[0])) + len(_terms(other.args[0])):
                    kept[n] = sp.exp(joined)
                    break
        else:
            kept.append(factor)
    return sp.Mul(*kept) if len(kept) < len(expr.args) else expr


def _terms(exponent: sp.Expr) -> tuple[sp.Expr, ...]:
    return tuple(t for t in sp.Add.make_args(exponent) if t != 0)


def _takes(factor: sp.Basic, scale: sp.Expr) -> bool:
    """Whether an exponential has the scale among the terms of its exponent."""
    if not isinstance(factor, sp.exp):
        return False
    terms = set(sp.Add.make_args(factor.args[0]))
    return terms >= set(sp.Add.make_args(scale))


def has_fold(expr: sp.Basic, axis: Index) -> bool:
    """Whether a fold over `axis` is anywhere in an expression."""
    return any(isinstance(n, Fold) and n.axis == axis for n in walk(expr))


def denominators(expr: sp.Basic) -> list[sp.Expr]:
    """What an expression divides by, each once."""
    found = []
    for node in walk(expr):
        if isinstance(node, sp.Pow) and node.exp.is_negative and not node.base.is_number and node.base not in found:
            found.append(node.base)
    return found
