"""Splits a body into what varies with the axis (elements) and what waits for an earlier fold (anchors)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import sympy as sp

from refold.algebra.plan import Anchor
from refold.algebra.rewrite import folds, has_fold
from refold.spec import Fold, Index


class AnchorOf(Protocol):
    """The anchor of a finished value; `divided` says whether something is divided by it."""

    def __call__(self, expr: Any, *, divided: bool) -> Anchor: ...


def abstract(
    body: sp.Expr,
    axis: Index,
    element: Callable[[sp.Expr], sp.Expr],
    anchor: AnchorOf,
) -> tuple[sp.Expr, list[Anchor]]:
    """The body over element symbols and fresh anchors, and the anchors, each standing for a part as large as can be."""
    used: dict[Anchor, None] = {}
    # Folds that an exponent holds beside what varies: `exp(-m)` beside `exp(c - m)` is a function of the anchor m.
    inside = {f for n in _mixed_exponentials(body, axis) for f in folds(n, axis)}

    def visit(expr: Any, divided: bool) -> Any:
        if not isinstance(expr, sp.Expr):
            # Of a condition that waits somewhere the sides are values, all of them: none may vary unseen.
            return expr.func(*(visit(a, divided) for a in expr.args)) if expr.args else expr
        waits, moves = has_fold(expr, axis), axis in expr.free_symbols
        if not waits:
            return element(expr) if moves else expr
        if not moves:
            factor, rest = expr.as_coeff_Mul()
            if isinstance(rest, sp.exp) and inside & set(folds(rest, axis)):
                return factor * sp.exp(visit(rest.args[0], divided))
            # A root is an anchor itself, so that no derivative divides by it; a divisor is what the root is of.
            if isinstance(expr, sp.Pow) and (expr.exp.is_integer or (expr.exp.is_number and expr.exp.is_negative)):
                return visit(expr.base, divided or expr.exp.is_negative) ** expr.exp
            powers = _means(sp.Mul.make_args(rest))
            if len(powers) == 1 and powers[0][1] > 1:
                return factor * visit(powers[0][0], divided) ** powers[0][1]
            if rest.is_Add and rest.could_extract_minus_sign():
                factor, rest = -factor, -rest
            found = anchor(rest, divided=divided)
            used[found] = None
            return factor * found.fresh
        if isinstance(expr, sp.Add | sp.Mul):
            groups: dict[str, list[sp.Expr]] = {"element": [], "anchor": [], "mixed": [], "number": []}
            for arg in expr.args:
                w, m = has_fold(arg, axis), axis in arg.free_symbols
                kind = "mixed" if w and m else "anchor" if w else "element" if m else "number"
                groups[kind].append(arg)
            if groups["element"] and isinstance(expr, sp.Add):
                groups["element"] += groups.pop("number")
            parts: list[sp.Expr] = []
            if groups["element"]:
                joined = expr.func(*groups["element"])
                sign, joined = joined.as_coeff_Mul()
                parts.append(sign * element(joined))
            if groups["anchor"] and isinstance(expr, sp.Mul):
                parts += [visit(a, divided) ** n for a, n in _means(groups["anchor"])]
            elif groups["anchor"]:
                parts.append(visit(expr.func(*groups["anchor"]), divided))
            parts += [visit(a, divided) for a in groups["mixed"]] + groups.get("number", [])
            return expr.func(*parts)
        if isinstance(expr, sp.Pow):
            negative = bool(expr.exp.is_negative)
            return sp.Pow(visit(expr.base, divided or negative), visit(expr.exp, divided))
        return expr.func(*(visit(a, divided) for a in expr.args))

    return visit(body, False), list(used)


def _means(factors: Sequence[sp.Expr]) -> list[tuple[sp.Expr, int]]:
    """`t**2 / n**3 -> (t/n)**2 (1/n)` for a sum t and the count n, as factors and powers: a mean is one anchor."""
    powers: dict[sp.Expr, sp.Expr] = dict(f.as_base_exp() for f in factors)
    count = next((b for b, p in powers.items() if _is_fold(b, "count") and p.is_Integer and p < 0), None)
    if count is None:
        return [(f, 1) for f in factors]
    found: list[tuple[sp.Expr, int]] = []
    for total in [b for b, p in powers.items() if _is_fold(b, "sum") and p.is_Integer and p > 0]:
        whole = min(int(powers[total]), -int(powers[count]))
        if whole:
            found.append((total / count, whole))
            powers[total] -= whole
            powers[count] += whole
    return found + [(base**power, 1) for base, power in powers.items() if power != 0]


def _is_fold(expr: sp.Basic, kind: str) -> bool:
    return isinstance(expr, Fold) and expr.kind == kind


def _mixed_exponentials(expr: sp.Basic, axis: Index) -> Iterator[sp.Basic]:
    """The exponentials that vary with the axis, outside of folds over it."""
    if isinstance(expr, Fold) and expr.axis == axis:
        return
    if isinstance(expr, sp.exp) and axis in expr.free_symbols:
        yield expr
    for arg in expr.args:
        yield from _mixed_exponentials(arg, axis)
